//! The ranges of the networks and what their security groups say.

use std::collections::BTreeMap;

use arm_model::resources::{
    ManagedCluster, NetworkSecurityGroup, PrivateDnsZone, SecurityRule, VirtualNetwork, VirtualNetworkPeering,
};
use arm_model::{Resource, Typed};

use crate::pools::last_segment;

/// Ranges as CIDR blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Subnet name → prefix, of all virtual networks.
    pub subnets: BTreeMap<String, String>,
    pub pod_cidr: Option<String>,
    pub service_cidr: Option<String>,
    pub dns_service: Option<String>,
    /// In the templates' order: the cluster's first, then the database's.
    pub virtual_networks: Vec<VirtualNetworkView>,
    pub security_groups: BTreeMap<String, Vec<SecurityRule>>,
    pub private_dns_zones: Vec<String>,
    /// `<network>/<peering>`, one for each side.
    pub peerings: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualNetworkView {
    pub name: String,
    pub prefixes: Vec<String>,
    pub subnets: Vec<SubnetView>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubnetView {
    pub name: String,
    pub prefix: String,
    /// Name of its security group.
    pub security_group: Option<String>,
    /// e.g. `Microsoft.DBforPostgreSQL/flexibleServers`
    pub delegation: Option<String>,
}

impl Network {
    pub(crate) fn read(&mut self, resource: &Resource) {
        let is = |kind: &str| resource.resource_type.eq_ignore_ascii_case(kind);
        if is(VirtualNetwork::TYPE)
            && let Ok(network) = resource.view::<VirtualNetwork>()
        {
            self.read_virtual_network(&resource.name, network);
        }
        if is(NetworkSecurityGroup::TYPE)
            && let Ok(group) = resource.view::<NetworkSecurityGroup>()
        {
            self.security_groups.insert(resource.name.clone(), group.properties.security_rules);
        }
        if is(PrivateDnsZone::TYPE) {
            self.private_dns_zones.push(resource.name.clone());
        }
        if is(VirtualNetworkPeering::TYPE) {
            self.peerings.push(resource.name.clone());
        }
        if is(ManagedCluster::TYPE)
            && let Ok(cluster) = resource.view::<ManagedCluster>()
            && let Some(profile) = cluster.properties.network_profile
        {
            self.pod_cidr = profile.pod_cidr;
            self.service_cidr = profile.service_cidr;
            self.dns_service = profile.dns_service_ip;
        }
    }

    fn read_virtual_network(&mut self, name: &str, network: VirtualNetwork) {
        let subnets = network.properties.subnets.into_iter().filter_map(|subnet| {
            let properties = subnet.properties;
            Some(SubnetView {
                name: subnet.name?,
                prefix: properties.address_prefix?,
                security_group: properties.network_security_group.and_then(|group| last_segment(&group.id)),
                delegation: properties.delegations.into_iter().next().map(|d| d.properties.service_name),
            })
        });
        let view = VirtualNetworkView {
            name: name.to_owned(),
            prefixes: network.properties.address_space.address_prefixes,
            subnets: subnets.collect(),
        };
        self.subnets.extend(view.subnets.iter().map(|subnet| (subnet.name.clone(), subnet.prefix.clone())));
        self.virtual_networks.push(view);
    }
}
