//! Node pools and the ranges of the network.

use std::collections::BTreeMap;

use arm_model::resources::{AgentPoolProfile, ManagedCluster, PoolMode, VirtualNetwork};
use arm_model::{Resource, Typed};

/// Number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    Fixed(u32),
    Between { min: u32, max: u32 },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub name: String,
    pub vm_size: String,
    pub system: bool,
    pub scaling: Scaling,
    /// Pods per node, where the template says so.
    pub max_pods: Option<u32>,
    pub labels: BTreeMap<String, String>,
    /// `key=value:Effect`
    pub taints: Vec<String>,
}

impl Pool {
    pub(crate) fn read(resource: &Resource) -> Vec<Pool> {
        if !resource.resource_type.eq_ignore_ascii_case(ManagedCluster::TYPE) {
            return Vec::new();
        }
        let Ok(cluster) = resource.view::<ManagedCluster>() else { return Vec::new() };
        cluster.properties.agent_pool_profiles.into_iter().filter_map(Pool::from_profile).collect()
    }

    fn from_profile(profile: AgentPoolProfile) -> Option<Pool> {
        let scaling = match (profile.enable_auto_scaling, profile.min_count, profile.max_count) {
            (Some(true), Some(min), Some(max)) => Scaling::Between { min, max },
            _ => Scaling::Fixed(profile.count.unwrap_or(1)),
        };
        Some(Pool {
            name: profile.name?,
            vm_size: profile.vm_size.unwrap_or_default(),
            system: profile.mode == Some(PoolMode::System),
            scaling,
            max_pods: profile.max_pods,
            labels: profile.node_labels,
            taints: profile.node_taints,
        })
    }
}

/// Ranges as CIDR blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Subnet name → prefix, of all virtual networks.
    pub subnets: BTreeMap<String, String>,
    pub pod_cidr: Option<String>,
    pub service_cidr: Option<String>,
}

impl Network {
    pub(crate) fn read(&mut self, resource: &Resource) {
        if resource.resource_type.eq_ignore_ascii_case(VirtualNetwork::TYPE)
            && let Ok(network) = resource.view::<VirtualNetwork>()
        {
            for subnet in network.properties.subnets {
                if let (Some(name), Some(prefix)) = (subnet.name, subnet.properties.address_prefix) {
                    self.subnets.insert(name, prefix);
                }
            }
        }
        if resource.resource_type.eq_ignore_ascii_case(ManagedCluster::TYPE)
            && let Ok(cluster) = resource.view::<ManagedCluster>()
            && let Some(profile) = cluster.properties.network_profile
        {
            self.pod_cidr = profile.pod_cidr;
            self.service_cidr = profile.service_cidr;
        }
    }
}
