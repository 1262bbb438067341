//! What the deploy stack leaves in the cluster about the stacks: ConfigMap `platform/marea-stacks`, key `stacks.json`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub const CONFIG_MAP_NAMESPACE: &str = "platform";
pub const CONFIG_MAP_NAME: &str = "marea-stacks";
pub const CONFIG_MAP_KEY: &str = "stacks.json";

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
}
