//! Deployment stacks: deployments that own their resources.

use serde::{Deserialize, Serialize};

use indexmap::IndexMap;
use serde_json::Value;

use super::{Tags, typed};
use crate::wire::wire_enum;

/// The body of a stack's request and answer. Not a template resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStack {
    /// Required at subscription scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub properties: DeploymentStackProperties,
}

typed!(DeploymentStack, "Microsoft.Resources/deploymentStacks", "2025-07-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStackProperties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Each `{"value": …}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, Value>,
    pub action_on_unmanage: ActionOnUnmanage,
    pub deny_settings: DenySettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass_stack_out_of_sync_error: Option<bool>,
}

/// What happens to resources that the template no longer has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionOnUnmanage {
    pub resources: UnmanageAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_groups: Option<UnmanageAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_groups: Option<UnmanageAction>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenySettings {
    pub mode: DenySettingsMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_to_child_scopes: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_principals: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_actions: Vec<String>,
}

wire_enum! {
    #[derive(Default)]
    pub enum UnmanageAction { Delete = "delete", #[default] Detach = "detach" }
}

wire_enum! {
    #[derive(Default)]
    pub enum DenySettingsMode { #[default] None = "none", DenyDelete = "denyDelete", DenyWriteAndDelete = "denyWriteAndDelete" }
}
