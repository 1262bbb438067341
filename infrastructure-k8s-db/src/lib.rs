//! Stack `db`: the database, apart from the cluster, so that the cluster can be rebuilt without touching the data.
//!
//! It has its own resource group, network and name zone. The far side of the network peering is the only thing that it
//! writes outside its own group.

mod config;
mod network;
mod outputs;
mod template;

pub use config::{Config, Network};
pub use network::{CLUSTER_LINK, PEERING_TO_CLUSTER, VIRTUAL_NETWORK};
pub use outputs::Outputs;

use arm_model::Template;
use stack::Stack;

pub const FOLDER: &str = "infrastructure-k8s-db";
/// The name of the administrator's password among the stack's secrets.
pub const PASSWORD: &str = "databasePassword";
/// The template's `securestring` parameter.
pub const PASSWORD_PARAMETER: &str = "administratorPassword";

/// What the template reads of `base` and of the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    pub subscription_id: String,
    pub cluster_resource_group: String,
    pub cluster_network_name: String,
    pub cluster_network_id: String,
    pub backend_subnet_prefix: String,
    /// Changes when the password was rotated; as a tag it makes Azure's comparison see what it may not show.
    pub password_revision: String,
}

pub struct Db;

impl Stack for Db {
    type Config = Config;
    type Inputs = Inputs;
    type Outputs = Outputs;

    const NAME: &'static str = "db";

    fn template(config: &Config, inputs: &Inputs) -> Template {
        template::template(config, inputs)
    }
}
