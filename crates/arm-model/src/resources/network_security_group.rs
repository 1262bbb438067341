//! Network security groups and their rules.

use serde::{Deserialize, Serialize};

use super::{Tags, typed};
use crate::wire::wire_enum;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSecurityGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub properties: NetworkSecurityGroupProperties,
}

typed!(NetworkSecurityGroup, "Microsoft.Network/networkSecurityGroups", "2025-09-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSecurityGroupProperties {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_rules: Vec<SecurityRule>,
}

/// A rule, inline (with a name) or as a child resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub properties: SecurityRuleProperties,
}

typed!(SecurityRule, "Microsoft.Network/networkSecurityGroups/securityRules", "2025-09-01");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRuleProperties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// 100 to 4096, the lowest wins; unique per direction.
    pub priority: u32,
    pub direction: RuleDirection,
    pub access: RuleAccess,
    pub protocol: RuleProtocol,
    /// A CIDR block, a service tag or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_address_prefixes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_port_ranges: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destination_address_prefixes: Vec<String>,
    /// A port, a range `a-b` or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destination_port_ranges: Vec<String>,
}

wire_enum! {
    #[derive(Default)]
    pub enum RuleDirection { #[default] Inbound = "Inbound", Outbound = "Outbound" }
}

wire_enum! {
    #[derive(Default)]
    pub enum RuleAccess { Allow = "Allow", #[default] Deny = "Deny" }
}

wire_enum! {
    #[derive(Default)]
    pub enum RuleProtocol { #[default] Any = "*", Tcp = "Tcp", Udp = "Udp", Icmp = "Icmp", Esp = "Esp", Ah = "Ah" }
}
