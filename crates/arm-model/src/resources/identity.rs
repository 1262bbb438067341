//! User-assigned identities, and the identity of a resource.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Tags, typed};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserAssignedIdentity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

typed!(UserAssignedIdentity, "Microsoft.ManagedIdentity/userAssignedIdentities", "2024-11-30");

/// The identity that a resource acts as.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceIdentity {
    /// `SystemAssigned`, `UserAssigned` or `None`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ids of identities; each with an empty object in a request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user_assigned_identities: BTreeMap<String, Value>,
}
