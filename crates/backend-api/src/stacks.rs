//! What `marea` leaves in the cluster about the stacks: ConfigMap `platform/marea-stacks`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub const CONFIG_MAP_NAMESPACE: &str = "platform";
pub const CONFIG_MAP_NAME: &str = "marea-stacks";
pub const CONFIG_MAP_KEY: &str = "stacks.json";
/// What `marea preview --publish` found last; gone with the next `up` that changes something. A [`Preview`].
pub const PREVIEW_KEY: &str = "preview.json";
/// What was deployed, without its Secrets: `{"templates": [ARM template…], "manifests": [object…]}`. Simulations are about it.
pub const PLAN_KEY: &str = "plan.json";

/// One stack as it was last deployed. The key's value is a JSON list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackRecord {
    pub name: String,
    pub env: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// How many resources it owns.
    #[serde(default)]
    pub resources: u32,
    /// What the last `up` changed in it; empty where it changed nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StackChange>,
    /// How many more there were than `changes` holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes_left_out: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum StackChangeKind {
    Create,
    Modify,
    Delete,
    /// No longer owned by the stack, but left where it is.
    Detach,
}

/// One resource or object that is made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackChange {
    pub kind: StackChangeKind,
    /// A resource's id below its subscription, or `Kind namespace/name`.
    pub target: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<StackProperty>,
}

/// A property that differs, its values as short JSON; a secret's are never told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackProperty {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What an `up` would do, as `marea preview --publish` found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// RFC 3339.
    pub at: String,
    pub env: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub stacks: Vec<StackPreview>,
    /// A sentence about the change of the monthly cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_cost: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackPreview {
    pub stack: String,
    pub changes: Vec<StackChange>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes_left_out: u32,
}
