//! Deployments, also nested in templates.

use serde::{Deserialize, Serialize};

use indexmap::IndexMap;
use serde_json::Value;

use super::{Tags, typed};
use crate::wire::wire_enum;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub properties: DeploymentProperties,
}

typed!(Deployment, "Microsoft.Resources/deployments", "2025-04-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentProperties {
    pub mode: DeploymentMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression_evaluation_options: Option<ExpressionEvaluationOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Each `{"value": …}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpressionEvaluationOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ExpressionScope>,
}

impl DeploymentProperties {
    /// Incremental, with expressions evaluated in the given scope.
    pub fn inner(scope: ExpressionScope) -> DeploymentProperties {
        DeploymentProperties {
            expression_evaluation_options: Some(ExpressionEvaluationOptions { scope: Some(scope) }),
            ..DeploymentProperties::default()
        }
    }
}

wire_enum! {
    #[derive(Default)]
    pub enum DeploymentMode { #[default] Incremental = "Incremental", Complete = "Complete" }
}

wire_enum! {
    pub enum ExpressionScope { Inner = "Inner", Outer = "Outer" }
}
