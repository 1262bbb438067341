//! The autoscaler's status: conditions, current metrics, last scale time.

use serde::{Deserialize, Serialize};
use units::{Quantity, Timestamp};

use super::view::{ConditionStatus, MetricIdentifier, ObjectReference};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub current_replicas: i32,
    pub desired_replicas: i32,
    pub last_scale_time: Option<Timestamp>,
    pub current_metrics: Vec<MetricStatus>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurrentValue {
    pub average_utilization: Option<i32>,
    pub average_value: Option<Quantity>,
    pub value: Option<Quantity>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetricStatus {
    Resource {
        resource: String,
        current: CurrentValue,
    },
    ContainerResource {
        resource: String,
        container: String,
        current: CurrentValue,
    },
    Pods {
        metric: MetricIdentifier,
        current: CurrentValue,
    },
    Object {
        metric: MetricIdentifier,
        described: ObjectReference,
        current: CurrentValue,
    },
    External {
        metric: MetricIdentifier,
        current: CurrentValue,
    },
    /// A metric that could not be computed; upstream leaves an empty entry in its place.
    Missing,
}

pub const ABLE_TO_SCALE: &str = "AbleToScale";
pub const SCALING_ACTIVE: &str = "ScalingActive";
pub const SCALING_LIMITED: &str = "ScalingLimited";
pub const SCALED_TO_ZERO: &str = "ScaledToZero";

impl Status {
    /// The transition time moves only when the status changes, not the reason.
    pub(super) fn set_condition(
        &mut self,
        kind: &str,
        holds: bool,
        reason: &str,
        message: impl Into<String>,
        now: Timestamp,
    ) {
        let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
        let index = match self.conditions.iter().position(|condition| condition.kind == kind) {
            Some(index) => index,
            None => {
                self.conditions.push(Condition {
                    kind: kind.to_owned(),
                    status: ConditionStatus::Unknown,
                    reason: String::new(),
                    message: String::new(),
                    last_transition_time: None,
                });
                self.conditions.len() - 1
            }
        };
        let condition = &mut self.conditions[index];
        if condition.status != status || condition.last_transition_time.is_none() {
            // The API keeps whole seconds.
            condition.last_transition_time = Some(now.truncated());
        }
        condition.status = status;
        reason.clone_into(&mut condition.reason);
        condition.message = message.into();
    }

    pub(super) fn remove_condition(&mut self, kind: &str) {
        self.conditions.retain(|condition| condition.kind != kind);
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}
