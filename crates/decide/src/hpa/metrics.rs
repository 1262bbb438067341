//! One metric of the spec: fetch its samples, compute its proposal, describe it
//! (`computeReplicasForMetric` of upstream's `horizontal.go`, Kubernetes 1.36).

use serde_json::json;
use units::Quantity;

use super::replicas::{Goal, Observed, Proposal, Sample, Samples, Tolerances, by_average, by_total, per_pod, requests};
use super::selector_text::go_selector;
use super::status::{CurrentValue, MetricStatus};
use super::view::{
    MetricIdentifier, MetricSpec, ObjectReference, PodMetrics, PodSample, Scale, Settings, Snapshot, Target,
};
use crate::report::Reason;

/// A metric that could be computed.
pub(super) struct Computed {
    pub replicas: i32,
    /// As it appears in events and conditions, e.g. `cpu resource utilization (percentage of request)`.
    pub name: String,
    pub status: MetricStatus,
    pub reason: Reason,
}

/// Why one could not be computed.
pub(super) struct Failure {
    /// The condition's reason; its message and the event carry `cause`.
    pub reason: &'static str,
    pub cause: String,
    /// What the sync as a whole reports.
    pub error: String,
}

pub(super) struct Context<'a> {
    pub snapshot: &'a Snapshot,
    pub scale: &'a Scale,
    pub settings: &'a Settings,
    pub tolerances: Tolerances,
}

impl<'a> Context<'a> {
    pub fn compute(&self, metric: &MetricSpec) -> Result<Computed, Failure> {
        match metric {
            MetricSpec::Resource { resource, target } => {
                self.resource(resource, None, target).map_err(|cause| Failure {
                    reason: "FailedGetResourceMetric",
                    error: format!("failed to get {resource} resource metric value: {cause}"),
                    cause,
                })
            }
            MetricSpec::ContainerResource { resource, container, target } => {
                self.resource(resource, Some(container), target).map_err(|cause| Failure {
                    reason: "FailedGetContainerResourceMetric",
                    error: format!("failed to get {container} container metric value: {cause}"),
                    cause,
                })
            }
            MetricSpec::Pods { metric, target } => self.pods(metric, target).map_err(|cause| Failure {
                reason: "FailedGetPodsMetric",
                error: format!("failed to get pods metric value: {cause}"),
                cause,
            }),
            MetricSpec::Object { metric, described, target } => self.object(metric, described, target),
            MetricSpec::External { metric, target } => self.external(metric, target),
            MetricSpec::Unknown { source_type } => {
                let cause = format!("unknown metric source type \"{source_type}\"");
                Err(Failure { reason: "InvalidMetricSourceType", error: cause.clone(), cause })
            }
        }
    }

    fn per_pod(&self, samples: Samples<'a>, goal: &Goal<'_>, is_cpu: bool) -> Result<Proposal<'a>, String> {
        let target = Observed {
            pods: &self.snapshot.pods,
            current_replicas: self.scale.spec_replicas,
            tolerances: self.tolerances,
            settings: self.settings,
            now: self.snapshot.now,
        };
        per_pod(&target, samples, goal, is_cpu)
    }

    fn resource(&self, resource: &str, container: Option<&String>, target: &Target) -> Result<Computed, String> {
        let is_cpu = resource == "cpu";
        let (proposal, name, goal_text) = if let Some(average) = target.average_value {
            let goal = Goal::Average { milli: average.millis() };
            let proposal = self
                .resource_samples(resource, container)
                .map_err(|error| format!("unable to get metrics for resource {resource}: {error}"))
                .and_then(|samples| {
                    self.require_pods()?;
                    self.per_pod(samples, &goal, is_cpu)
                })
                .map_err(|error| format!("failed to get {resource} usage: {error}"))?;
            (proposal, format!("{resource} resource"), average.to_string())
        } else if let Some(percent) = target.average_utilization {
            let proposal = self
                .utilization(resource, container, percent)
                .map_err(|error| format!("failed to get {resource} utilization: {error}"))?;
            let kind = if container.is_some() { "container resource" } else { "resource" };
            (proposal, format!("{resource} {kind} utilization (percentage of request)"), format!("{percent}%"))
        } else {
            return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".to_owned());
        };
        let current = CurrentValue {
            average_utilization: proposal.utilization,
            average_value: Some(resource_quantity(resource, proposal.average_milli)),
            value: None,
        };
        let status = match container {
            None => MetricStatus::Resource { resource: resource.to_owned(), current },
            Some(container) => {
                MetricStatus::ContainerResource { resource: resource.to_owned(), container: container.clone(), current }
            }
        };
        let usage = match proposal.utilization {
            Some(percent) => format!("{percent}%"),
            None => resource_quantity(resource, proposal.average_milli).to_string(),
        };
        let reason = describe_per_pod(&name, &usage, &goal_text, &proposal);
        Ok(Computed { replicas: proposal.replicas, name, status, reason })
    }

    fn utilization(&self, resource: &str, container: Option<&String>, percent: i32) -> Result<Proposal<'a>, String> {
        let samples = self
            .resource_samples(resource, container)
            .map_err(|error| format!("unable to get metrics for resource {resource}: {error}"))?;
        self.require_pods()?;
        // Upstream looks at the metrics of the right pods before it looks at requests, and says so first.
        let is_cpu = resource == "cpu";
        match requests(&self.snapshot.pods, container.map(String::as_str), resource) {
            Ok(requests_milli) => {
                self.per_pod(samples, &Goal::Utilization { percent, requests_milli: &requests_milli }, is_cpu)
            }
            Err(missing) => {
                self.per_pod(samples, &Goal::Average { milli: 1 }, is_cpu)?;
                Err(missing)
            }
        }
    }

    fn require_pods(&self) -> Result<(), String> {
        if self.snapshot.pods.is_empty() { Err(super::replicas::NO_PODS.to_owned()) } else { Ok(()) }
    }

    fn resource_samples(&self, resource: &str, container: Option<&String>) -> Result<Samples<'a>, String> {
        let metrics = match &self.snapshot.metrics.resource {
            Some(Ok(metrics)) if !metrics.is_empty() => metrics,
            Some(Err(error)) => return Err(format!("unable to fetch metrics from resource metrics API: {error}")),
            _ => return Err("no metrics returned from resource metrics API".to_owned()),
        };
        Ok(metrics.iter().filter_map(|pod| pod_sample(pod, resource, container)).collect())
    }

    fn pods(&self, metric: &MetricIdentifier, target: &Target) -> Result<Computed, String> {
        let unable = |error: String| format!("unable to get metric {}: {error}", metric.name);
        let samples = match self.snapshot.metrics.pods.get(&metric.name) {
            Some(Ok(samples)) if !samples.is_empty() => samples,
            Some(Err(error)) => {
                return Err(unable(format!("unable to fetch metrics from custom metrics API: {error}")));
            }
            _ => return Err(unable("no metrics returned from custom metrics API".to_owned())),
        };
        self.require_pods()?;
        let average = target.average_value.unwrap_or(Quantity::from_millis(0));
        let samples = samples.iter().map(PodSample::as_sample).collect();
        let proposal = self.per_pod(samples, &Goal::Average { milli: average.millis() }, false)?;
        let usage = Quantity::from_millis(proposal.average_milli);
        let name = format!("pods metric {}", metric.name);
        let reason = describe_per_pod(&name, &usage.to_string(), &average.to_string(), &proposal);
        let current = CurrentValue { average_value: Some(usage), ..CurrentValue::default() };
        Ok(Computed {
            replicas: proposal.replicas,
            name,
            status: MetricStatus::Pods { metric: metric.clone(), current },
            reason,
        })
    }

    fn object(
        &self,
        metric: &MetricIdentifier,
        described: &ObjectReference,
        target: &Target,
    ) -> Result<Computed, Failure> {
        let fail = |cause: String| Failure {
            reason: "FailedGetObjectMetric",
            error: format!("failed to get object metric value: {cause}"),
            cause,
        };
        let total = || {
            let value = match self.snapshot.metrics.object.get(&metric.name) {
                Some(Ok(value)) => Ok(*value),
                Some(Err(error)) => Err(error.clone()),
                None => {
                    Err("the custom metrics API server returned 0 results when we asked for exactly one".to_owned())
                }
            };
            value.map_err(|error| {
                format!(
                    "unable to get metric {}: {} on {} {}/unable to fetch metrics from custom metrics API: {error}",
                    metric.name, described.kind, self.snapshot.namespace, described.name
                )
            })
        };
        let status = |current| MetricStatus::Object { metric: metric.clone(), described: described.clone(), current };
        match (target.kind.as_str(), target.value, target.average_value) {
            ("Value", Some(value), _) => {
                let total = total().map_err(fail)?;
                let name = format!("{} metric {}", described.kind, metric.name);
                self.against_total(name, total, value, status).map_err(fail)
            }
            ("AverageValue", _, Some(average)) => {
                let total = total().map_err(|cause| Failure {
                    reason: "FailedGetObjectMetric",
                    error: format!(
                        "failed to get object metric value: failed to get {} object metric: {cause}",
                        metric.name
                    ),
                    cause,
                })?;
                Ok(self.against_average(external_name(metric), total, average, status))
            }
            _ => Err(fail(
                "invalid object metric source: neither a value target nor an average value target was set".to_owned(),
            )),
        }
    }

    fn external(&self, metric: &MetricIdentifier, target: &Target) -> Result<Computed, Failure> {
        let namespace = &self.snapshot.namespace;
        let fail = |prefix: String, cause: String| Failure {
            reason: "FailedGetExternalMetric",
            error: format!("failed to get {} external metric value: {prefix}{cause}", metric.name),
            cause,
        };
        let total = || {
            let values = match self.snapshot.metrics.external.get(&metric.name) {
                Some(Ok(values)) if !values.is_empty() => Ok(values),
                Some(Err(error)) => Err(format!("unable to fetch metrics from external metrics API: {error}")),
                _ => Err("no metrics returned from external metrics API".to_owned()),
            };
            values.map(|values| values.iter().fold(0_i64, |sum, value| sum.saturating_add(*value))).map_err(|error| {
                let selector = go_selector(metric.selector.as_ref());
                format!("unable to get external metric {namespace}/{}/{selector}: {error}", metric.name)
            })
        };
        let status = |current| MetricStatus::External { metric: metric.clone(), current };
        if let Some(average) = target.average_value {
            let total =
                total().map_err(|cause| fail(format!("failed to get {} external metric: ", metric.name), cause))?;
            Ok(self.against_average(external_name(metric), total, average, status))
        } else if let Some(value) = target.value {
            let prefix = || format!("failed to get external metric {}: ", metric.name);
            let total = total().map_err(|cause| fail(prefix(), cause))?;
            self.against_total(external_name(metric), total, value, status).map_err(|cause| fail(prefix(), cause))
        } else {
            Err(fail(
                String::new(),
                "invalid external metric source: neither a value target nor an average value target was set".to_owned(),
            ))
        }
    }

    fn against_total(
        &self,
        name: String,
        total_milli: i64,
        target: Quantity,
        status: impl Fn(CurrentValue) -> MetricStatus,
    ) -> Result<Computed, String> {
        let usage_ratio = total_milli as f64 / target.millis() as f64;
        let replicas = by_total(usage_ratio, &self.snapshot.pods, self.scale.spec_replicas, self.tolerances)?;
        let usage = Quantity::from_millis(total_milli);
        let reason = describe_total(&name, usage, target, usage_ratio, replicas);
        Ok(Computed {
            replicas,
            name,
            status: status(CurrentValue { value: Some(usage), ..CurrentValue::default() }),
            reason,
        })
    }

    fn against_average(
        &self,
        name: String,
        total_milli: i64,
        target: Quantity,
        status: impl Fn(CurrentValue) -> MetricStatus,
    ) -> Computed {
        let (replicas, average_milli) =
            by_average(total_milli, target.millis(), self.scale.status_replicas, self.tolerances);
        let usage = Quantity::from_millis(average_milli);
        let ratio = average_milli as f64 / target.millis() as f64;
        let reason = describe_total(&name, usage, target, ratio, replicas);
        Computed {
            replicas,
            name,
            status: status(CurrentValue { average_value: Some(usage), ..CurrentValue::default() }),
            reason,
        }
    }
}

fn external_name(metric: &MetricIdentifier) -> String {
    format!("external metric {}({})", metric.name, go_selector(metric.selector.as_ref()))
}

/// Memory is shown in binary units, as metrics-server shows it.
fn resource_quantity(resource: &str, milli: i64) -> Quantity {
    if resource == "memory" && milli % 1000 == 0 {
        Quantity::from_bytes(milli / 1000)
    } else {
        Quantity::from_millis(milli)
    }
}

/// A pod whose containers do not all report the resource counts as missing.
fn pod_sample<'a>(metrics: &'a PodMetrics, resource: &str, container: Option<&String>) -> Option<(&'a str, Sample)> {
    let value_milli = match container {
        Some(name) => {
            *metrics.containers.iter().find(|container| container.name == *name)?.usage_milli.get(resource)?
        }
        None if metrics.containers.is_empty() => return None,
        None => metrics
            .containers
            .iter()
            .map(|container| container.usage_milli.get(resource).copied())
            .sum::<Option<i64>>()?,
    };
    Some((metrics.pod.as_str(), Sample { at: metrics.at, window: metrics.window, value_milli }))
}

impl PodSample {
    fn as_sample(&self) -> (&str, Sample) {
        (self.pod.as_str(), Sample { at: self.at, window: self.window, value_milli: self.value_milli })
    }
}

fn describe_per_pod(name: &str, usage: &str, target: &str, proposal: &Proposal<'_>) -> Reason {
    let groups = &proposal.groups;
    let mut text = format!(
        "{name}: {usage} against a target of {target} over {} ready pods asks for {}",
        groups.ready_count, proposal.replicas
    );
    if !groups.unready.is_empty() || !groups.missing.is_empty() {
        text.push_str(&format!(
            " (with {} unready and {} without metrics, ratio {:.3} becomes {:.3})",
            groups.unready.len(),
            groups.missing.len(),
            proposal.usage_ratio,
            proposal.assumed_ratio
        ));
    }
    Reason::new("hpa.metric", text)
        .with("metric", name)
        .with("usage", usage)
        .with("target", target)
        .with("ratio", proposal.usage_ratio)
        .with("assumedRatio", proposal.assumed_ratio)
        .with("ready", groups.ready_count)
        .with("unready", json!(groups.unready))
        .with("missing", json!(groups.missing))
        .with("ignored", json!(groups.ignored))
        .with("proposal", proposal.replicas)
}

fn describe_total(name: &str, usage: Quantity, target: Quantity, ratio: f64, replicas: i32) -> Reason {
    Reason::new("hpa.metric", format!("{name}: {usage} against a target of {target} asks for {replicas}"))
        .with("metric", name)
        .with("usage", usage.to_string())
        .with("target", target.to_string())
        .with("ratio", if ratio.is_finite() { json!(ratio) } else { json!(null) })
        .with("proposal", replicas)
}
