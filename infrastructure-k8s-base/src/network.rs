//! Subnets, one per pool, and their security groups.

use arm_model::expression::Expression;
use arm_model::resources::{
    AddressSpace, NetworkSecurityGroup, NetworkSecurityGroupProperties, RuleAccess, RuleDirection, RuleProtocol,
    SecurityRule, SecurityRuleProperties, SubResource, Subnet, SubnetProperties, VirtualNetwork,
    VirtualNetworkProperties,
};

use crate::config::Config;

pub(crate) const VIRTUAL_NETWORK: &str = "marea";

pub(crate) fn security_group_name(pool: &str) -> String {
    format!("marea-{pool}")
}

/// AKS does not touch the security groups of subnets that it is given, so what nodes, pods and the load balancer need
/// is said here (Azure: "Azure CNI networking: network security groups").
pub(crate) fn security_group(config: &Config) -> NetworkSecurityGroup {
    let network = &config.network;
    let nodes_and_pods = vec![network.virtual_network.clone(), network.pods.clone()];
    let rules = vec![
        SecurityRule {
            name: Some("nodes-and-pods".into()),
            properties: SecurityRuleProperties {
                description: Some(
                    "Nodes reach each other and pods; pods keep their overlay address inside the cluster".into(),
                ),
                source_address_prefixes: nodes_and_pods.clone(),
                destination_address_prefixes: nodes_and_pods,
                ..rule(100, RuleAccess::Allow, RuleProtocol::Any)
            },
        },
        SecurityRule {
            name: Some("http".into()),
            properties: SecurityRuleProperties {
                description: Some("The load balancer forwards the public address to any node".into()),
                source_address_prefix: Some("Internet".into()),
                destination_address_prefix: Some("*".into()),
                destination_port_range: Some("80".into()),
                ..rule(110, RuleAccess::Allow, RuleProtocol::Tcp)
            },
        },
        SecurityRule {
            name: Some("not-from-the-database".into()),
            properties: SecurityRuleProperties {
                description: Some("The peered network answers, it never calls".into()),
                source_address_prefix: Some(network.database.clone()),
                destination_address_prefix: Some("*".into()),
                ..rule(4000, RuleAccess::Deny, RuleProtocol::Any)
            },
        },
    ];
    NetworkSecurityGroup {
        location: Some(config.location.clone()),
        properties: NetworkSecurityGroupProperties { security_rules: rules },
        ..NetworkSecurityGroup::default()
    }
}

fn rule(priority: u32, access: RuleAccess, protocol: RuleProtocol) -> SecurityRuleProperties {
    let destination_port_range = (protocol == RuleProtocol::Any).then(|| "*".to_owned());
    SecurityRuleProperties {
        priority,
        access,
        protocol,
        direction: RuleDirection::Inbound,
        source_port_range: Some("*".into()),
        destination_port_range,
        ..SecurityRuleProperties::default()
    }
}

pub(crate) fn virtual_network(config: &Config) -> VirtualNetwork {
    let subnets = config.node_pools.iter().map(|(pool, settings)| {
        let group = Expression::resource_id("Microsoft.Network/networkSecurityGroups", &[&security_group_name(pool)]);
        Subnet {
            name: Some(pool.clone()),
            properties: SubnetProperties {
                address_prefix: Some(settings.subnet.clone()),
                network_security_group: Some(SubResource::new(group)),
                ..SubnetProperties::default()
            },
        }
    });
    VirtualNetwork {
        location: Some(config.location.clone()),
        properties: VirtualNetworkProperties {
            address_space: AddressSpace { address_prefixes: vec![config.network.virtual_network.clone()] },
            subnets: subnets.collect(),
            ..VirtualNetworkProperties::default()
        },
        ..VirtualNetwork::default()
    }
}
