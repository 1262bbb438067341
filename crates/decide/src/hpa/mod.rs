//! The HorizontalPodAutoscaler, `autoscaling/v2`, as `pkg/controller/podautoscaler` of Kubernetes 1.36 decides.

mod metrics;
mod normalize;
pub mod quick;
mod replicas;
mod selector_text;
pub mod status;
pub mod view;

use serde::{Deserialize, Serialize};
use units::Timestamp;

use crate::report::{Reason, Report};
use metrics::Context;
pub use normalize::{Memory, Recommendation, ScaleEvent};
use normalize::{Normalized, Wish, normalize};
use replicas::Tolerances;
use status::{ABLE_TO_SCALE, MetricStatus, SCALED_TO_ZERO, SCALING_ACTIVE, SCALING_LIMITED, Status};
use view::{ConditionStatus, Scale, Spec};
pub use view::{Settings, Snapshot};

/// What to do with one autoscaler now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Set when the target's scale must be changed.
    pub rescale: Option<Rescale>,
    /// The autoscaler's status after this sync, assuming that the rescale succeeds.
    pub status: Status,
    /// False when writing the status would change nothing.
    pub status_changed: bool,
    pub events: Vec<Event>,
    /// What went wrong in this sync; some metrics may still have been used.
    pub error: Option<String>,
    pub report: Report,
    /// When to look again at the latest.
    pub next: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescale {
    pub from: i32,
    pub to: i32,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub warning: bool,
    pub reason: String,
    pub message: String,
}

/// Decides one sync of one autoscaler. `memory` is the controller's own state for it and is updated as if the rescale
/// succeeded; see [`rescale_failed`].
pub fn decide(settings: &Settings, snapshot: &Snapshot, memory: &mut Memory) -> Decision {
    let mut sync = Sync {
        settings,
        snapshot,
        status: snapshot.status.clone(),
        events: Vec::new(),
        reasons: Vec::new(),
        error: None,
    };
    let (rescale, summary) = sync.run(memory);
    if let Some(rescale) = &rescale {
        sync.events.push(Event {
            warning: false,
            reason: "SuccessfulRescale".to_owned(),
            message: format!("New size: {}; reason: {}", rescale.to, rescale.reason),
        });
        memory.record_rescale(snapshot.spec.behavior.as_ref(), rescale.from, rescale.to, snapshot.now);
    }
    Decision {
        rescale,
        status_changed: sync.status != snapshot.status,
        status: sync.status,
        events: sync.events,
        error: sync.error,
        report: Report { summary, reasons: sync.reasons },
        next: snapshot.now + settings.sync_period,
    }
}

/// Turns a decision whose rescale the API refused into what upstream then reports. `memory_before` is the memory that
/// the decision was made with: a failed rescale must not count against the policies.
pub fn rescale_failed(
    snapshot: &Snapshot,
    decision: &mut Decision,
    memory: &mut Memory,
    memory_before: &Memory,
    error: &str,
) {
    let Some(rescale) = decision.rescale.take() else { return };
    memory.scale_up_events.clone_from(&memory_before.scale_up_events);
    memory.scale_down_events.clone_from(&memory_before.scale_down_events);
    decision.events.retain(|event| event.reason != "SuccessfulRescale");
    decision.events.push(Event {
        warning: true,
        reason: "FailedRescale".to_owned(),
        message: format!("New size: {}; reason: {}; error: {error}", rescale.to, rescale.reason),
    });
    let message = format!("the HPA controller was unable to update the target scale: {error}");
    decision.status.set_condition(ABLE_TO_SCALE, false, "FailedUpdateScale", message, snapshot.now);
    decision.status.desired_replicas = snapshot.status.desired_replicas;
    decision.status.last_scale_time = snapshot.status.last_scale_time;
    decision.status_changed = decision.status != snapshot.status;
    decision.error = Some(format!("failed to rescale {}: {error}", reference(snapshot)));
    decision
        .report
        .push(Reason::new("hpa.rescale-failed", format!("the target's scale could not be written: {error}")));
}

fn reference(snapshot: &Snapshot) -> String {
    format!("{}/{}/{}", snapshot.spec.target.kind, snapshot.namespace, snapshot.spec.target.name)
}

/// When the number that stabilisation holds on to was last asked for.
fn last_asking_for(memory: &Memory, replicas: i32) -> Option<Timestamp> {
    memory
        .recommendations
        .iter()
        .filter(|recommendation| recommendation.replicas == replicas)
        .map(|recommendation| recommendation.at)
        .max()
}

struct Sync<'a> {
    settings: &'a Settings,
    snapshot: &'a Snapshot,
    status: Status,
    events: Vec<Event>,
    reasons: Vec<Reason>,
    error: Option<String>,
}

/// The wish that the metrics agree on.
struct MetricsWish {
    replicas: i32,
    metric: String,
    statuses: Vec<MetricStatus>,
}

impl Sync<'_> {
    fn run(&mut self, memory: &mut Memory) -> (Option<Rescale>, String) {
        let scale = match &self.snapshot.scale {
            Ok(scale) => scale,
            Err(error) => return (None, self.no_scale(error)),
        };
        self.condition(
            ABLE_TO_SCALE,
            true,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        );
        let current = scale.spec_replicas;
        memory.record_initial(current, self.snapshot.now);

        let (min, max) = (self.spec().min_replicas(), self.spec().max_replicas);
        if current == 0 && !self.computes_at_zero(min) {
            return (None, self.disabled(current));
        }
        let bounded = if current == 0 {
            None
        } else if current > max {
            Some((max, "Current number of replicas above Spec.MaxReplicas"))
        } else if current < min {
            Some((min, "Current number of replicas below Spec.MinReplicas"))
        } else {
            None
        };
        if let Some((desired, reason)) = bounded {
            self.reasons.push(
                Reason::new("hpa.bounds", format!("{reason}: {current} lies outside {min} to {max}"))
                    .with("current", current)
                    .with("min", min)
                    .with("max", max),
            );
            return self.finish(current, desired, reason.to_owned(), Vec::new());
        }
        self.by_metrics(scale, current, min, memory)
    }

    fn by_metrics(&mut self, scale: &Scale, current: i32, min: i32, memory: &mut Memory) -> (Option<Rescale>, String) {
        let wish = match self.metrics_wish(scale) {
            Ok(wish) => wish,
            Err((error, statuses)) => return (None, self.no_metrics(current, &error, statuses)),
        };
        let desired = wish.replicas.max(0);
        let metric = if wish.replicas > 0 { wish.metric.as_str() } else { "" };
        let mut reason = String::new();
        if desired > current {
            reason = format!("{metric} above target");
        }
        if desired < current {
            "All metrics below target".clone_into(&mut reason);
        }
        let limits = Wish { current, desired, min, max: self.spec().max_replicas };
        let behavior = self.spec().behavior.clone();
        let normalized = normalize(&limits, behavior.as_ref(), memory, self.settings, self.snapshot.now);
        self.explain_normalized(&limits, &normalized, memory);
        self.condition(ABLE_TO_SCALE, true, normalized.able.0, normalized.able.1);
        self.condition(SCALING_LIMITED, normalized.limited, normalized.limit.0, normalized.limit.1);
        let mut replicas = normalized.replicas;
        if current == 0 && min != 0 && self.was_scaled_to_zero() && replicas < min {
            replicas = min;
            if reason.is_empty() {
                "Current number of replicas below Spec.MinReplicas".clone_into(&mut reason);
            }
        }
        self.finish(current, replicas, reason, wish.statuses)
    }

    fn finish(
        &mut self,
        current: i32,
        desired: i32,
        reason: String,
        statuses: Vec<MetricStatus>,
    ) -> (Option<Rescale>, String) {
        // At its bounds upstream rescales without comparing; the numbers differ there by construction.
        let rescale = desired != current;
        self.status.current_replicas = current;
        self.status.desired_replicas = desired;
        self.status.current_metrics = statuses;
        if !rescale {
            return (None, format!("stays at {current} replicas"));
        }
        self.status.last_scale_time = Some(self.snapshot.now.truncated());
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        self.condition(ABLE_TO_SCALE, true, "SucceededRescale", message);
        if self.settings.scale_to_zero {
            let zero = current > 0
                && desired == 0
                && self.spec().min_replicas() == 0
                && self.spec().has_object_or_external_metric();
            if zero {
                self.condition(SCALED_TO_ZERO, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
            } else {
                self.condition(
                    SCALED_TO_ZERO,
                    false,
                    "NotScaledToZero",
                    "the HPA controller did not scale the workload to zero",
                );
            }
        } else {
            self.status.remove_condition(SCALED_TO_ZERO);
        }
        let summary = format!("scales from {current} to {desired} replicas: {reason}");
        (Some(Rescale { from: current, to: desired, reason }), summary)
    }

    fn metrics_wish(&mut self, scale: &Scale) -> Result<MetricsWish, (String, Vec<MetricStatus>)> {
        self.check_selector(scale).map_err(|error| (error, Vec::new()))?;
        let context =
            Context { snapshot: self.snapshot, scale, settings: self.settings, tolerances: self.tolerances() };
        let mut wish = MetricsWish { replicas: 0, metric: String::new(), statuses: Vec::new() };
        let mut failures = Vec::new();
        for metric in &self.snapshot.spec.metrics {
            match context.compute(metric) {
                Ok(computed) => {
                    if wish.replicas == 0 || computed.replicas > wish.replicas {
                        wish.replicas = computed.replicas;
                        wish.metric = computed.name;
                    }
                    wish.statuses.push(computed.status);
                    self.reasons.push(computed.reason);
                }
                Err(failure) => {
                    self.warn(failure.reason, failure.cause.clone());
                    self.reasons.push(
                        Reason::new("hpa.metric.failed", failure.cause.clone()).with("condition", failure.reason),
                    );
                    wish.statuses.push(MetricStatus::Missing);
                    failures.push(failure);
                }
            }
        }
        let total = self.snapshot.spec.metrics.len();
        let error = failures.first().map(|first| {
            format!("invalid metrics ({} invalid out of {total}), first error is: {}", failures.len(), first.error)
        });
        let unusable = failures.len() >= total || (!failures.is_empty() && wish.replicas < scale.spec_replicas);
        if let (true, Some(first)) = (unusable, failures.first()) {
            let message = format!("the HPA was unable to compute the replica count: {}", first.cause);
            self.condition(SCALING_ACTIVE, false, first.reason, message);
            return Err((error.unwrap_or_default(), wish.statuses));
        }
        let message = format!("the HPA was able to successfully calculate a replica count from {}", wish.metric);
        self.condition(SCALING_ACTIVE, true, "ValidMetricFound", message);
        self.error = error;
        Ok(wish)
    }

    fn check_selector(&mut self, scale: &Scale) -> Result<(), String> {
        let (event, condition, error, message) = if scale.selector.is_empty() {
            let error = "selector is required".to_owned();
            ("SelectorRequired", "InvalidSelector", error, "the HPA target's scale is missing a selector".to_owned())
        } else if let Some(problem) = &scale.selector_error {
            let error = format!("couldn't convert selector into a corresponding internal selector object: {problem}");
            ("InvalidSelector", "InvalidSelector", error.clone(), error)
        } else if self.snapshot.selecting_autoscalers.len() > 1 {
            let error = format!(
                "pods by selector {} are controlled by multiple HPAs: [{}]",
                scale.selector,
                self.snapshot.selecting_autoscalers.join(" ")
            );
            ("AmbiguousSelector", "AmbiguousSelector", error.clone(), error)
        } else {
            return Ok(());
        };
        self.warn(event, error.clone());
        self.condition(SCALING_ACTIVE, false, condition, message);
        Err(error)
    }

    fn no_scale(&mut self, error: &str) -> String {
        self.warn("FailedGetScale", error.to_owned());
        let message = format!("the HPA controller was unable to get the target's current scale: {error}");
        self.condition(ABLE_TO_SCALE, false, "FailedGetScale", message);
        self.error = Some(format!("failed to query scale subresource for {}: {error}", reference(self.snapshot)));
        self.reasons.push(Reason::new("hpa.no-scale", error));
        format!("cannot read the target's scale: {error}")
    }

    fn no_metrics(&mut self, current: i32, error: &str, statuses: Vec<MetricStatus>) -> String {
        self.status.current_replicas = current;
        self.status.current_metrics = statuses;
        self.warn("FailedComputeMetricsReplicas", error.to_owned());
        self.error = Some(format!(
            "failed to compute desired number of replicas based on listed metrics for {}: {error}",
            reference(self.snapshot)
        ));
        format!("stays at {current} replicas: {error}")
    }

    fn disabled(&mut self, current: i32) -> String {
        self.condition(
            SCALING_ACTIVE,
            false,
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        );
        if !self.settings.scale_to_zero {
            self.status.remove_condition(SCALED_TO_ZERO);
        }
        self.status.current_replicas = current;
        self.status.desired_replicas = current;
        self.status.current_metrics = Vec::new();
        self.reasons.push(Reason::new("hpa.disabled", "the target was set to zero replicas by hand"));
        "scaling is disabled since the replica count of the target is zero".to_owned()
    }

    fn computes_at_zero(&self, min: i32) -> bool {
        let scaled_to_zero = self.was_scaled_to_zero();
        scaled_to_zero && (min != 0 || self.spec().has_object_or_external_metric())
    }

    fn was_scaled_to_zero(&self) -> bool {
        let condition = self.snapshot.status.condition(SCALED_TO_ZERO);
        self.settings.scale_to_zero && condition.is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    fn tolerances(&self) -> Tolerances {
        let behavior = self.spec().behavior.as_ref();
        let of = |tolerance: Option<f64>| tolerance.unwrap_or(self.settings.tolerance);
        Tolerances {
            scale_down: of(behavior.and_then(|behavior| behavior.scale_down.tolerance)),
            scale_up: of(behavior.and_then(|behavior| behavior.scale_up.tolerance)),
        }
    }

    fn explain_normalized(&mut self, wish: &Wish, normalized: &Normalized, memory: &Memory) {
        if normalized.stabilized != wish.desired {
            self.reasons.push(
                Reason::new(
                    "hpa.stabilized",
                    format!("{} instead of {}: {}", normalized.stabilized, wish.desired, normalized.able.1),
                )
                .with("desired", wish.desired)
                .with("stabilized", normalized.stabilized)
                .with("since", last_asking_for(memory, normalized.stabilized).map(|at| at.rfc3339_micros())),
            );
        }
        if normalized.limited {
            self.reasons.push(
                Reason::new(
                    "hpa.limited",
                    format!("{} instead of {}: {}", normalized.replicas, normalized.stabilized, normalized.limit.1),
                )
                .with("limit", normalized.limit.0)
                .with("wanted", normalized.stabilized)
                .with("allowed", normalized.replicas)
                .with("min", wish.min)
                .with("max", wish.max),
            );
        }
    }

    fn spec(&self) -> &Spec {
        &self.snapshot.spec
    }

    fn condition(&mut self, kind: &str, holds: bool, reason: &str, message: impl Into<String>) {
        self.status.set_condition(kind, holds, reason, message, self.snapshot.now);
    }

    fn warn(&mut self, reason: &str, message: String) {
        self.events.push(Event { warning: true, reason: reason.to_owned(), message });
    }
}
