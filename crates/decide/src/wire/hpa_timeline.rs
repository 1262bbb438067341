//! `marea decide hpa`: the timeline of one autoscaler over a scripted load, and the one-shot form for a cluster's dump.

mod one_shot;
mod script;
mod world;

use serde_json::{Value, json};
use units::Timestamp;

use crate::hpa::status::{MetricStatus, Status};
use crate::hpa::view::{ConditionStatus, Settings};
use crate::hpa::{Decision, decide};
use crate::wire::input::InputError;
use script::Script;
use world::World;

/// Answers one input document with its output lines.
///
/// # Errors
/// When the document is neither of the two forms, or a value in it makes no sense; names the field.
pub fn run(document: &Value) -> Result<Vec<String>, InputError> {
    if document.get("hpa").is_some() { one_shot::run(document) } else { timeline(document) }
}

/// Every status that the controller writes over a scripted load, with its instant, and the final number of replicas.
///
/// # Errors
/// As [`run`].
pub fn statuses(document: &Value) -> Result<(Vec<(Timestamp, Status)>, i32), InputError> {
    let script = Script::parse(document)?;
    let mut written = Vec::new();
    let replicas = play(&script, |now, _, decision, _| {
        if decision.status_changed {
            written.push((now, decision.status.clone()));
        }
    })?;
    Ok((written, replicas))
}

fn timeline(document: &Value) -> Result<Vec<String>, InputError> {
    let script = Script::parse(document)?;
    let mut lines = Vec::new();
    let replicas = play(&script, |now, from, decision, ready| {
        if decision.rescale.is_some() || (script.verbose && decision.status_changed) {
            lines.push(line(now, from, decision, ready).to_string());
        }
    })?;
    lines.push(json!({"t": seconds(script.duration), "final": replicas}).to_string());
    Ok(lines)
}

/// Runs the script; `each` sees every sync: when, the replicas before it, the decision, and how many pods were ready.
fn play(script: &Script, mut each: impl FnMut(Timestamp, i32, &Decision, usize)) -> Result<i32, InputError> {
    let settings = script.settings();
    let mut world = World::new(script);
    let mut now = script.sync;
    while now <= script.duration {
        world.advance(script, now)?;
        let from = world.replicas();
        let ready = world.ready_count(now);
        let snapshot = world.snapshot(now);
        let decision = decide(&settings, &snapshot, &mut world.memory);
        world.status.clone_from(&decision.status);
        if let Some(rescale) = &decision.rescale {
            world.scale_to(rescale.to, now);
        }
        each(now, from, &decision, ready);
        now = now + settings.sync_period;
    }
    Ok(world.replicas())
}

/// One line of the timeline: what was decided at `now` with `from` replicas, `ready` of which were so.
pub fn line(now: Timestamp, from: i32, decision: &Decision, ready: usize) -> Value {
    json!({
        "t": seconds(now),
        "from": from,
        "to": decision.rescale.as_ref().map_or(from, |rescale| rescale.to),
        "ready": ready,
        "utilization": utilization(&decision.status.current_metrics),
        "conditions": conditions(decision),
        "events": decision.events,
        "report": decision.report,
    })
}

/// Whole seconds print without a fraction, others with at most three decimals.
fn seconds(at: Timestamp) -> Value {
    if at.0 % 1000 == 0 { json!(at.0 / 1000) } else { json!(at.0 as f64 / 1000.0) }
}

fn utilization(metrics: &[MetricStatus]) -> Option<i32> {
    metrics.iter().find_map(|metric| match metric {
        MetricStatus::Resource { current, .. } | MetricStatus::ContainerResource { current, .. } => {
            current.average_utilization
        }
        _ => None,
    })
}

fn conditions(decision: &Decision) -> Value {
    decision
        .status
        .conditions
        .iter()
        .map(|condition| {
            let status = match condition.status {
                ConditionStatus::True => "True",
                ConditionStatus::False => "False",
                ConditionStatus::Unknown => "Unknown",
            };
            (condition.kind.clone(), json!(format!("{status}/{}", condition.reason)))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The controller's flags as the input names them, in seconds.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flags {
    sync: Option<f64>,
    downscale_window: Option<f64>,
    tolerance: Option<f64>,
    cpu_init: Option<f64>,
    initial_readiness: Option<f64>,
}

impl Flags {
    fn settings(&self) -> Result<Settings, InputError> {
        let defaults = Settings::default();
        let span = |name: &str, value: Option<f64>, default| match value {
            None => Ok(default),
            Some(value) => script::millis(name, value),
        };
        let settings = Settings {
            sync_period: span("sync", self.sync, defaults.sync_period)?,
            downscale_stabilization: span("downscaleWindow", self.downscale_window, defaults.downscale_stabilization)?,
            tolerance: self.tolerance.unwrap_or(defaults.tolerance),
            cpu_initialization_period: span("cpuInit", self.cpu_init, defaults.cpu_initialization_period)?,
            initial_readiness_delay: span(
                "initialReadiness",
                self.initial_readiness,
                defaults.initial_readiness_delay,
            )?,
            scale_to_zero: false,
        };
        if settings.sync_period.0 <= 0 {
            return Err(InputError::new("sync", "must be longer than 0 seconds"));
        }
        if !(0.0..=100.0).contains(&settings.tolerance) {
            return Err(InputError::new("tolerance", "must be a fraction from 0 to 100"));
        }
        Ok(settings)
    }
}
