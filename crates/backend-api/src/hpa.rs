//! Horizontal pod autoscalers and the reasons behind each of their steps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hpa {
    pub namespace: String,
    pub name: String,
    /// What it scales, e.g. `Deployment/backend`.
    pub target: String,
    pub min_replicas: u32,
    pub max_replicas: u32,
    pub current_replicas: u32,
    pub desired_replicas: u32,
    pub metrics: Vec<Metric>,
    pub conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scaled_at: Option<String>,
    /// Newest first.
    pub reasons: Vec<Reason>,
}

/// One metric: what it is meant to be and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// `cpu`, `memory` or the metric's own name.
    pub name: String,
    /// As kubectl prints it: `70%` or a quantity.
    pub target: String,
    /// Absent while there is no reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReasonSource {
    /// The platform's flight recorder, `explain.marea.dev/v1`.
    Decision,
    /// A Kubernetes event of the autoscaler; all that AKS has.
    Event,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    pub id: String,
    pub source: ReasonSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub summary: String,
    /// True when replicas changed, false when the decision was to wait.
    pub acted: bool,
    /// Replicas before and after a change, where the source tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// The rules that took part, a sentence each, with the numbers that they saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}
