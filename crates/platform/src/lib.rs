//! The decision view of a whole platform: pools, workloads, autoscalers, database, network.
//!
//! Built from templates and manifests, so that lint, simulator and price read what will be deployed and not the
//! configuration that led to it. No I/O, no clock.

mod check;
mod connections;
mod database;
mod pools;
mod selector;
mod workloads;

pub use check::{Problem, check};
pub use connections::{UnknownServerSize, connection_pool_size, user_connections};
pub use database::Database;
pub use pools::{Network, Pool, Scaling};
pub use workloads::{Autoscaler, Workload};

use arm_model::Template;
use serde_json::Value;

/// The label and taint that tie workloads to pools.
pub const POOL_LABEL: &str = "marea.dev/pool";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Platform {
    pub pools: Vec<Pool>,
    pub workloads: Vec<Workload>,
    pub hpas: Vec<Autoscaler>,
    pub database: Option<Database>,
    pub network: Network,
}

impl Platform {
    /// Resources and objects that say nothing about the platform's shape are passed over.
    pub fn new(templates: &[&Template], manifests: &[&Value]) -> Platform {
        let mut platform = Platform::default();
        for template in templates {
            platform.read_template(template);
        }
        platform.workloads = manifests.iter().filter_map(|manifest| Workload::read(manifest)).collect();
        platform.hpas = manifests.iter().filter_map(|manifest| Autoscaler::read(manifest)).collect();
        platform
    }

    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    fn read_template(&mut self, template: &Template) {
        for (_, resource) in template.resources() {
            if let Ok(deployment) = resource.view::<arm_model::resources::Deployment>()
                && resource.resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments")
                && let Some(inner) =
                    deployment.properties.template.and_then(|inner| serde_json::from_value::<Template>(inner).ok())
            {
                self.read_template(&inner);
                continue;
            }
            self.pools.extend(Pool::read(resource));
            self.network.read(resource);
            if let Some(database) = Database::read(resource) {
                self.database = Some(database);
            }
        }
    }
}
