//! The flight recorder as a read-only API: `explain.marea.dev/v1`, resource `decisions`.
//!
//! A decision is named `<kind>-<object>-<sequence>` and labelled `marea.dev/kind` (`hpa`, `pod`, `pool`) and
//! `marea.dev/object`, so that `kubectl get decisions -l marea.dev/kind=hpa` works as for any resource.

use serde::{Deserialize, Serialize};
use units::Timestamp;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub sequence: u64,
    pub at: Timestamp,
    /// `hpa`, `pod` or `pool`.
    pub kind: String,
    /// Absent for pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub object: String,
    /// One sentence, for a list.
    pub summary: String,
    /// True when something was changed (a rescale, a binding, a pool's size), false when the decision was to wait.
    pub acted: bool,
    /// `decide::report::Report` as data.
    pub report: serde_json::Value,
}

#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub object: Option<String>,
    /// The newest this many.
    pub limit: Option<usize>,
}

pub trait DecisionSource: Send + Sync + 'static {
    /// Oldest first.
    fn decisions(&self, filter: &DecisionFilter) -> Vec<Decision>;
}
