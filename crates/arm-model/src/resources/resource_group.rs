//! Resource groups.

use serde::{Deserialize, Serialize};

use super::{Tags, typed};

/// A resource group; in a template of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGroup {
    pub location: String,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

typed!(ResourceGroup, "Microsoft.Resources/resourceGroups", "2025-04-01");
