//! Stack `base`: the resource group, the network and the AKS cluster with its pools.
//!
//! Everything below is a pure function of the configuration; what it means for Azure is in [`template`].

mod config;
mod network;
mod outputs;
mod pools;
mod support;
mod template;

pub use config::{AutoscalerProfile, ClusterTier, Config, Network, NodePool, PoolMode, Problem};
pub use outputs::Outputs;
pub use support::unsupported;

use arm_model::Template;
use stack::Stack;

pub const FOLDER: &str = "infrastructure-k8s-base";

/// What the template needs to know of the subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    pub subscription_id: String,
    /// The cluster exists: its autoscaled pools keep the number of nodes that the autoscaler gave them.
    pub cluster_exists: bool,
}

pub struct Base;

impl Stack for Base {
    type Config = Config;
    type Inputs = Inputs;
    type Outputs = Outputs;

    const NAME: &'static str = "base";

    fn template(config: &Config, inputs: &Inputs) -> Template {
        template::template(config, inputs)
    }
}
