//! `stack.<env>.yaml`, `config`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The database server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Azure region, e.g. `eastus`; the cluster's, or every query crosses regions.
    pub location: String,
    #[serde(default = "default_group")]
    pub resource_group: String,
    /// e.g. `Standard_B1ms`
    #[serde(default = "default_size")]
    pub size: String,
    /// `Burstable`, `GeneralPurpose` or `MemoryOptimized`; must fit the size.
    #[serde(default = "default_tier")]
    pub tier: String,
    /// GiB, from 32; Azure only ever lets it grow.
    #[serde(default = "default_storage")]
    pub storage_gib: u32,
    /// PostgreSQL's major version.
    #[serde(default = "default_version")]
    pub version: String,
    /// 7 to 35 days.
    #[serde(default = "default_retention")]
    pub backup_retention_days: u32,
    #[serde(default = "default_user")]
    pub administrator: String,
    #[serde(default = "default_database")]
    pub database: String,
    #[serde(default)]
    pub network: Network,
    /// Connections left to users, for a size that marea does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_connections: Option<u32>,
    /// Server parameters by PostgreSQL's names.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Azure refuses to delete the stack's resources, except through the stack.
    #[serde(default)]
    pub deny_delete: bool,
}

fn default_group() -> String {
    "marea-db".to_owned()
}

fn default_size() -> String {
    "Standard_B1ms".to_owned()
}

fn default_tier() -> String {
    "Burstable".to_owned()
}

fn default_storage() -> u32 {
    32
}

fn default_version() -> String {
    "15".to_owned()
}

fn default_retention() -> u32 {
    7
}

fn default_user() -> String {
    "marea".to_owned()
}

fn default_database() -> String {
    "marea".to_owned()
}

/// Address ranges and the name zone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Network {
    pub virtual_network: String,
    /// Delegated to the server; /28 at least.
    pub subnet: String,
    /// Must end in `.postgres.database.azure.com`.
    pub zone: String,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            virtual_network: "10.225.0.0/16".to_owned(),
            subnet: "10.225.0.0/28".to_owned(),
            zone: "marea.private.postgres.database.azure.com".to_owned(),
        }
    }
}

impl Config {
    /// What is wrong by itself, before anything is asked of Azure.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.storage_gib < 32 {
            problems.push(format!("config.storageGib: {} is less than Azure's minimum of 32", self.storage_gib));
        }
        if !(7..=35).contains(&self.backup_retention_days) {
            problems
                .push(format!("config.backupRetentionDays: {} is not between 7 and 35", self.backup_retention_days));
        }
        if !self.network.zone.ends_with(".postgres.database.azure.com") {
            problems.push(format!(
                "config.network.zone: `{}` does not end in .postgres.database.azure.com",
                self.network.zone
            ));
        }
        if let Err(error) = self.user_connections() {
            problems.push(format!("config.size: {error}"));
        }
        problems
    }

    /// # Errors
    /// When the size is unknown and `userConnections` is not set.
    pub fn user_connections(&self) -> Result<u32, platform::UnknownServerSize> {
        self.user_connections.map_or_else(|| platform::user_connections(&self.size), Ok)
    }
}
