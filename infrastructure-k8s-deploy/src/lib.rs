//! Stack `deploy`: what runs in the cluster.
//!
//! `k8s/` is the single source of the manifests; this crate fills in what only a deployment knows: image versions, replica
//! bounds, the database's address and its secret. Pure: manifests in, manifests out.

mod config;
mod database;
mod manifests;
mod workload;

pub use config::{Config, ForeignDatabase, Metric, Scaling, ScalingBehavior, ScalingPolicy, ScalingRules, Workload};
pub use database::{Database, POOL_SURGE};
pub use manifests::{DeployError, manifests};

pub const FOLDER: &str = "infrastructure-k8s-deploy";
pub const NAME: &str = "deploy";

/// What the manifests need of the other stacks.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub database: Database,
    /// PEM certificates that the database's own certificate is checked against.
    pub certificate_authority: String,
}
