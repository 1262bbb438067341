//! Firewall rules of flexible servers with public access.

use std::net::Ipv4Addr;

use super::network::identify;
use super::{Kind, Outside, PLAIN, Placement, required};
use crate::fault::Fault;
use crate::resources::Put;

pub(super) static FIREWALL_RULE: Kind = Kind {
    resource_type: "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules",
    versions: ("2021-06-01", "2026-12-31"),
    placement: Placement::Child,
    outside: Outside::Postgres,
    put_status: (202, 202),
    put,
    ..PLAIN
};

fn put(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, FIREWALL_RULE.resource_type);
    let invalid = |name: &str, message: String| Err(Fault::bad_request("InvalidParameterValue", message).target(name));
    let name = put.id.name();
    if name.len() > 128 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return invalid("firewallRuleName", format!("'{name}' is not a valid name of a firewall rule."));
    }
    let server = put.id.parent().and_then(|server| put.world.get(server.key()));
    if server.is_some_and(|server| server.body["properties"]["network"]["delegatedSubnetResourceId"].is_string()) {
        return Err(Fault::bad_request(
            "FirewallRulesNotAllowed",
            "Firewall rule operations are not supported for a private access enabled server.",
        ));
    }
    let mut ends = Vec::new();
    for name in ["startIpAddress", "endIpAddress"] {
        let text = required(put, name)?;
        match text.parse::<Ipv4Addr>() {
            Ok(address) => ends.push(address),
            Err(_) => {
                return invalid(
                    name,
                    format!("Invalid value given for parameter {name}: '{text}' is not an IPv4 address."),
                );
            }
        }
    }
    if ends[0] > ends[1] {
        return invalid(
            "startIpAddress",
            format!("The start address {} lies behind the end address {}.", ends[0], ends[1]),
        );
    }
    Ok(())
}
