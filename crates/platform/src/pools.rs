//! Node pools.

use std::collections::BTreeMap;

use arm_model::resources::{AgentPoolProfile, ManagedCluster, PoolMode};
use arm_model::{Resource, Typed};

use crate::Size;

/// Number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    Fixed(u32),
    Between { min: u32, max: u32 },
}

impl Scaling {
    pub fn min(self) -> u32 {
        match self {
            Scaling::Fixed(count) => count,
            Scaling::Between { min, .. } => min,
        }
    }

    pub fn max(self) -> u32 {
        match self {
            Scaling::Fixed(count) => count,
            Scaling::Between { max, .. } => max,
        }
    }
}

/// AKS's default of pods per node for an overlay network (Azure: "IP address planning", 2026-04-16).
const DEFAULT_MAX_PODS: u32 = 250;

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
    /// GiB, where the template says so.
    pub os_disk_gib: Option<u32>,
    /// Name of the subnet that its nodes take addresses of.
    pub subnet: Option<String>,
    /// Nodes beyond the pool's number during an upgrade.
    pub surge: u32,
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
        let surge = profile.upgrade_settings.as_ref().and_then(|settings| settings.max_surge.as_deref());
        Some(Pool {
            name: profile.name?,
            vm_size: profile.vm_size.unwrap_or_default(),
            system: profile.mode == Some(PoolMode::System),
            scaling,
            max_pods: profile.max_pods,
            labels: profile.node_labels,
            taints: profile.node_taints,
            os_disk_gib: profile.os_disk_size_gb.filter(|gib| *gib > 0),
            subnet: profile.vnet_subnet_id.as_deref().and_then(last_segment),
            surge: surge_nodes(surge, scaling.max()),
        })
    }

    /// Capacity, what AKS leaves of it, and credits; `None` for a size that is not in the table.
    pub fn size(&self) -> Option<Size> {
        Size::find(&self.vm_size)
    }

    pub fn max_pods_or_default(&self) -> u32 {
        self.max_pods.unwrap_or(DEFAULT_MAX_PODS)
    }

    /// GiB of each node's OS disk, AKS's default where the template names none.
    pub fn os_disk_gib_or_default(&self) -> Option<u32> {
        self.os_disk_gib.or_else(|| self.size().map(Size::default_os_disk_gib))
    }
}

/// A count, or a percentage of the nodes rounded up; AKS's default is 10 % ("Upgrade an AKS cluster").
fn surge_nodes(text: Option<&str>, nodes: u32) -> u32 {
    let text = text.unwrap_or("10%");
    match text.strip_suffix('%') {
        Some(percent) => percent.parse::<u32>().map_or(1, |percent| nodes.saturating_mul(percent).div_ceil(100)),
        None => text.parse().unwrap_or(1),
    }
}

/// The name at the end of a resource id or of a `resourceId(…)` expression.
pub(crate) fn last_segment(id: &str) -> Option<String> {
    let name = match id.strip_prefix('[') {
        Some(expression) => expression.rsplit('\'').nth(1)?,
        None => id.rsplit('/').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_named_by_ids_and_expressions() {
        for (id, expected) in [
            ("[resourceId('Microsoft.Network/virtualNetworks/subnets', 'marea', 'backend')]", Some("backend")),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/web",
                Some("web"),
            ),
            ("[parameters", None),
            ("", None),
        ] {
            assert_eq!(last_segment(id).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn surge_is_a_count_or_a_share() {
        for (text, nodes, expected) in [
            (Some("1"), 5, 1),
            (Some("33%"), 5, 2),
            (None, 5, 1),
            (Some("many"), 5, 1),
            (Some("100%"), u32::MAX, 42_949_673),
        ] {
            assert_eq!(surge_nodes(text, nodes), expected, "{text:?}");
        }
    }
}
