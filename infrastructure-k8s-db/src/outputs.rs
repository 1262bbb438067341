//! What the deploy stack reads.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    pub resource_group: String,
    pub server_name: String,
    /// Resolves inside the two networks only.
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    /// Connections that the server's size leaves to users.
    pub user_connections: u32,
}
