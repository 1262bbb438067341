//! What PostgreSQL says about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// `server_version`, e.g. `15.14`.
    pub version: String,
    /// Client connections of all users at this moment.
    pub connections: u32,
    /// What the server admits in total, reserved ones included.
    pub max_connections: u32,
    /// How often an overview was asked for since the database exists; survives rebuilding the cluster.
    pub visits: u64,
}
