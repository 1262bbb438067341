//! The database's own network and its two ties to the cluster's: the peering and the name zone.

use arm_model::expression::Expression;
use arm_model::resources::{
    AddressSpace, Delegation, DelegationProperties, NetworkSecurityGroup, NetworkSecurityGroupProperties, RuleAccess,
    RuleDirection, RuleProtocol, SecurityRule, SecurityRuleProperties, SubResource, Subnet, SubnetProperties,
    VirtualNetwork, VirtualNetworkLink, VirtualNetworkLinkProperties, VirtualNetworkPeering,
    VirtualNetworkPeeringProperties, VirtualNetworkProperties,
};

use crate::Inputs;
use crate::config::Config;

pub const VIRTUAL_NETWORK: &str = "marea-db";
pub const PEERING_TO_CLUSTER: &str = "to-cluster";
/// The zone's link to the cluster's network.
pub const CLUSTER_LINK: &str = "cluster";
pub(crate) const PEERING_FROM_CLUSTER: &str = "to-database";
pub(crate) const SECURITY_GROUP: &str = "marea-db";
pub(crate) const SUBNET: &str = "postgres";

/// Only the backend pool's subnet gets in: pods of other pools reach other networks as their own node.
pub(crate) fn security_group(config: &Config, inputs: &Inputs) -> NetworkSecurityGroup {
    let subnet = &config.network.subnet;
    let inbound = |name: &str, priority, access, source: &str, port: &str, why: &str| {
        rule(name, priority, access, RuleDirection::Inbound, source, subnet, port, why)
    };
    let rules = vec![
        inbound(
            "backend",
            100,
            RuleAccess::Allow,
            &inputs.backend_subnet_prefix,
            "5432",
            "Pods of the backend pool, as their nodes",
        ),
        inbound("within", 110, RuleAccess::Allow, subnet, "5432", "The service's own traffic in its delegated subnet"),
        inbound("nobody-else", 4000, RuleAccess::Deny, "*", "*", "Nobody else"),
        rule(
            "within-out",
            100,
            RuleAccess::Allow,
            RuleDirection::Outbound,
            subnet,
            subnet,
            "5432",
            "The service's own traffic in its delegated subnet",
        ),
        rule(
            "backups",
            110,
            RuleAccess::Allow,
            RuleDirection::Outbound,
            subnet,
            "Storage",
            "443",
            "Write-ahead log and backups go to Azure Storage",
        ),
    ];
    NetworkSecurityGroup {
        location: Some(config.location.clone()),
        properties: NetworkSecurityGroupProperties { security_rules: rules },
        ..NetworkSecurityGroup::default()
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a rule has that many parts, and a table of rules reads best in one line each"
)]
fn rule(
    name: &str,
    priority: u32,
    access: RuleAccess,
    direction: RuleDirection,
    source: &str,
    destination: &str,
    port: &str,
    why: &str,
) -> SecurityRule {
    SecurityRule {
        name: Some(name.to_owned()),
        properties: SecurityRuleProperties {
            description: Some(why.to_owned()),
            priority,
            direction,
            access,
            protocol: if port == "*" { RuleProtocol::Any } else { RuleProtocol::Tcp },
            source_address_prefix: Some(source.to_owned()),
            source_port_range: Some("*".to_owned()),
            destination_address_prefix: Some(destination.to_owned()),
            destination_port_range: Some(port.to_owned()),
            ..SecurityRuleProperties::default()
        },
    }
}

pub(crate) fn virtual_network(config: &Config) -> VirtualNetwork {
    let service = "Microsoft.DBforPostgreSQL/flexibleServers";
    let group = Expression::resource_id("Microsoft.Network/networkSecurityGroups", &[SECURITY_GROUP]);
    let subnet = Subnet {
        name: Some(SUBNET.to_owned()),
        properties: SubnetProperties {
            address_prefix: Some(config.network.subnet.clone()),
            network_security_group: Some(SubResource::new(group)),
            delegations: vec![Delegation {
                name: "postgres".into(),
                properties: DelegationProperties { service_name: service.into() },
            }],
            ..SubnetProperties::default()
        },
    };
    VirtualNetwork {
        location: Some(config.location.clone()),
        properties: VirtualNetworkProperties {
            address_space: AddressSpace { address_prefixes: vec![config.network.virtual_network.clone()] },
            subnets: vec![subnet],
            ..VirtualNetworkProperties::default()
        },
        ..VirtualNetwork::default()
    }
}

pub(crate) fn peering(remote: impl Into<String>) -> VirtualNetworkPeering {
    VirtualNetworkPeering {
        properties: VirtualNetworkPeeringProperties {
            remote_virtual_network: Some(SubResource::new(remote)),
            allow_virtual_network_access: Some(true),
            allow_forwarded_traffic: Some(false),
            allow_gateway_transit: Some(false),
            use_remote_gateways: Some(false),
            peering_state: None,
        },
    }
}

pub(crate) fn link(network: impl Into<String>) -> VirtualNetworkLink {
    VirtualNetworkLink {
        location: Some("global".into()),
        properties: VirtualNetworkLinkProperties {
            virtual_network: Some(SubResource::new(network)),
            registration_enabled: Some(false),
        },
        ..VirtualNetworkLink::default()
    }
}
