//! Databases and configuration parameters of a flexible server.

use serde::{Deserialize, Serialize};

use super::typed;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    pub properties: DatabaseProperties,
}

typed!(Database, "Microsoft.DBforPostgreSQL/flexibleServers/databases", "2025-08-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseProperties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
}

/// A server parameter; its name is PostgreSQL's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfiguration {
    pub properties: ServerConfigurationProperties,
}

typed!(ServerConfiguration, "Microsoft.DBforPostgreSQL/flexibleServers/configurations", "2025-08-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfigurationProperties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `user-override` for what was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
