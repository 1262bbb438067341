//! The database server.

use std::collections::BTreeMap;

use arm_model::resources::{FlexibleServer, ServerConfiguration};
use arm_model::{Resource, Typed};

use crate::pools::last_segment;
use crate::{UnknownServerSize, user_connections};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    pub name: String,
    pub location: String,
    /// e.g. `Standard_B1ms`
    pub size: String,
    pub tier: String,
    pub storage_gib: Option<u32>,
    pub backup_retention_days: Option<u32>,
    /// PostgreSQL's major version.
    pub version: Option<String>,
    /// A standby in the same or another zone, which costs as much again.
    pub highly_available: bool,
    /// Name of the delegated subnet.
    pub subnet: Option<String>,
    /// `Enabled` opens the server to addresses of the internet.
    pub public_network_access: Option<String>,
    /// Server parameters that the template sets.
    pub parameters: BTreeMap<String, String>,
}

impl Database {
    pub(crate) fn read(resource: &Resource) -> Option<Database> {
        if !resource.resource_type.eq_ignore_ascii_case(FlexibleServer::TYPE) {
            return None;
        }
        let server = resource.view::<FlexibleServer>().ok()?;
        let sku = server.sku?;
        let properties = server.properties;
        let network = properties.network.unwrap_or_default();
        let mode = properties.high_availability.and_then(|settings| settings.mode);
        Some(Database {
            name: resource.name.clone(),
            location: server.location.unwrap_or_default(),
            size: sku.name,
            tier: sku.tier,
            storage_gib: properties.storage.and_then(|storage| storage.storage_size_gb),
            backup_retention_days: properties.backup.and_then(|backup| backup.backup_retention_days),
            version: properties.version,
            highly_available: mode.is_some_and(|mode| mode != arm_model::resources::HighAvailabilityMode::Disabled),
            subnet: network.delegated_subnet_resource_id.as_deref().and_then(last_segment),
            public_network_access: network.public_network_access,
            parameters: BTreeMap::new(),
        })
    }

    /// A server parameter: the last part of the resource's name, and its value.
    pub(crate) fn read_parameter(resource: &Resource) -> Option<(String, String)> {
        if !resource.resource_type.eq_ignore_ascii_case(ServerConfiguration::TYPE) {
            return None;
        }
        let value = resource.view::<ServerConfiguration>().ok()?.properties.value?;
        Some((last_segment_of_name(&resource.name), value))
    }

    /// # Errors
    /// When the size is not in the table.
    pub fn user_connections(&self) -> Result<u32, UnknownServerSize> {
        user_connections(&self.size)
    }
}

fn last_segment_of_name(name: &str) -> String {
    name.trim_end_matches("')]").rsplit('/').next().unwrap_or(name).to_owned()
}
