//! What the decision sees of a HorizontalPodAutoscaler, its target, its pods and its metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use units::{Millis, Quantity, Timestamp};

use super::status::Status;

/// The controller's flags, with upstream's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `--horizontal-pod-autoscaler-sync-period`
    pub sync_period: Millis,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`
    pub downscale_stabilization: Millis,
    /// `--horizontal-pod-autoscaler-tolerance`, as a fraction
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`
    pub cpu_initialization_period: Millis,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`
    pub initial_readiness_delay: Millis,
    /// Feature gate `HPAScaleToZero`, off by default in 1.36.
    pub scale_to_zero: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sync_period: Millis::from_secs(15),
            downscale_stabilization: Millis::from_secs(300),
            tolerance: 0.1,
            cpu_initialization_period: Millis::from_secs(300),
            initial_readiness_delay: Millis::from_secs(30),
            scale_to_zero: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub now: Timestamp,
    pub namespace: String,
    pub name: String,
    pub spec: Spec,
    pub status: Status,
    /// The target's scale subresource, or why it could not be read.
    pub scale: Result<Scale, String>,
    /// The pods that the scale's selector selects.
    pub pods: Vec<Pod>,
    /// Every autoscaler (`namespace/name`) whose selector selects one of these pods, this one included.
    pub selecting_autoscalers: Vec<String>,
    pub metrics: Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    pub spec_replicas: i32,
    pub status_replicas: i32,
    /// In query form, e.g. `app=web`; empty when the target names none.
    pub selector: String,
    /// Set when the selector does not parse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub target: ObjectReference,
    pub min_replicas: Option<i32>,
    pub max_replicas: i32,
    pub metrics: Vec<MetricSpec>,
    /// With upstream's defaults filled in, as the API server stores it.
    pub behavior: Option<Behavior>,
}

impl Spec {
    pub fn min_replicas(&self) -> i32 {
        self.min_replicas.unwrap_or(1)
    }

    pub fn has_object_or_external_metric(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric, MetricSpec::Object { .. } | MetricSpec::External { .. }))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

/// A metric's name and its selector, if any, as the API object has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricIdentifier {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetricSpec {
    Resource {
        resource: String,
        target: Target,
    },
    ContainerResource {
        resource: String,
        container: String,
        target: Target,
    },
    Pods {
        metric: MetricIdentifier,
        target: Target,
    },
    Object {
        metric: MetricIdentifier,
        described: ObjectReference,
        target: Target,
    },
    External {
        metric: MetricIdentifier,
        target: Target,
    },
    /// A source type that this version does not know.
    Unknown {
        source_type: String,
    },
}

/// `MetricTarget`: which of the fields counts is decided by the metric's kind, as upstream does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// `Utilization`, `Value` or `AverageValue`
    pub kind: String,
    pub average_utilization: Option<i32>,
    pub average_value: Option<Quantity>,
    pub value: Option<Quantity>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behavior {
    pub scale_up: Rules,
    pub scale_down: Rules,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Absent only for scale-down, where the controller's flag then counts.
    pub stabilization_window: Option<Millis>,
    pub select_policy: SelectPolicy,
    pub policies: Vec<Policy>,
    /// Overrides the controller's tolerance in this direction.
    pub tolerance: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectPolicy {
    Max,
    Min,
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub kind: PolicyKind,
    pub value: i32,
    pub period: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    Pods,
    Percent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    pub name: String,
    pub phase: Phase,
    /// It has a deletion timestamp.
    pub deleting: bool,
    pub start_time: Option<Timestamp>,
    pub ready: Option<ReadyCondition>,
    pub containers: Vec<ContainerRequests>,
    /// Requests of the pod as a whole, where `spec.resources` sets any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_requests: Option<BTreeMap<String, i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyCondition {
    pub status: ConditionStatus,
    pub last_transition: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// A container's (or restartable init container's) requests, in thousandths of the resource's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRequests {
    pub name: String,
    pub requests_milli: BTreeMap<String, i64>,
}

/// Everything the metrics APIs answered. A source that is absent answered with nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// `metrics.k8s.io` for the target's pods, or the error it gave.
    pub resource: Option<Result<Vec<PodMetrics>, String>>,
    /// `custom.metrics.k8s.io` on pods, by metric name.
    pub pods: BTreeMap<String, Result<Vec<PodSample>, String>>,
    /// `custom.metrics.k8s.io` on objects, by metric name; in thousandths.
    pub object: BTreeMap<String, Result<i64, String>>,
    /// `external.metrics.k8s.io`, by metric name; in thousandths.
    pub external: BTreeMap<String, Result<Vec<i64>, String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodMetrics {
    pub pod: String,
    pub at: Timestamp,
    pub window: Millis,
    pub containers: Vec<ContainerUsage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerUsage {
    pub name: String,
    pub usage_milli: BTreeMap<String, i64>,
}

/// One pod's value of one metric, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSample {
    pub pod: String,
    pub at: Timestamp,
    pub window: Millis,
    pub value_milli: i64,
}
