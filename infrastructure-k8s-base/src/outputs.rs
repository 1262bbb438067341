//! What the other stacks read.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    pub resource_group: String,
    pub cluster_name: String,
    pub cluster_id: String,
    pub cluster_fqdn: String,
    pub oidc_issuer_url: String,
    pub virtual_network_name: String,
    pub virtual_network_id: String,
    /// The only subnet that the database admits.
    pub backend_subnet_prefix: String,
}
