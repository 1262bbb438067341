//! The database server.

use arm_model::resources::FlexibleServer;
use arm_model::{Resource, Typed};

#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub name: String,
    /// e.g. `Standard_B1ms`
    pub size: String,
    pub tier: String,
    pub storage_gib: Option<u32>,
}

impl Database {
    pub(crate) fn read(resource: &Resource) -> Option<Database> {
        if !resource.resource_type.eq_ignore_ascii_case(FlexibleServer::TYPE) {
            return None;
        }
        let server = resource.view::<FlexibleServer>().ok()?;
        let sku = server.sku?;
        let storage_gib = server.properties.storage.and_then(|storage| storage.storage_size_gb);
        Some(Database { name: resource.name.clone(), size: sku.name, tier: sku.tier, storage_gib })
    }
}
