//! Azure's side of the network: subnets and their security groups, as the packet rules need them.

use std::collections::{BTreeMap, BTreeSet};

use arm_engine::Engine;
use arm_server::EngineHandle;
use network::rules::{Access, Cidr, Direction, PortRange, Protocol, SecurityRule, Subnet};
use serde_json::Value;
use tokio::sync::watch;

/// A subnet by the names of its network and its own.
pub(crate) type Name = (String, String);

/// Follows ARM until it is gone, and which subnets are cut off.
pub(crate) async fn follow(
    engine: EngineHandle,
    subnets: watch::Sender<Vec<Subnet>>,
    mut cut: watch::Receiver<BTreeSet<Name>>,
) {
    let mut changes = engine.subscribe();
    loop {
        let cut_off = cut.borrow_and_update().clone();
        match engine.with(|engine, _| read(engine, &cut_off)).await {
            Ok(found) => {
                subnets.send_if_modified(|known| {
                    let differs = *known != found;
                    *known = found;
                    differs
                });
            }
            Err(error) => tracing::warn!(%error, "the network does not follow Azure for now"),
        }
        let outcome = tokio::select! {
            changed = changes.changed() => changed,
            changed = cut.changed() => changed,
        };
        if outcome.is_err() {
            return;
        }
    }
}

/// Every subnet with its range.
pub(crate) fn known(engine: &Engine) -> BTreeMap<Name, Cidr> {
    let networks = engine.resources_of_type("Microsoft.Network/virtualNetworks");
    let each = networks.iter().flat_map(|network| {
        let subnets = array(&network["properties"]["subnets"]).iter();
        subnets.filter_map(|subnet| Some((name_of(network, subnet), range_of(subnet)?)))
    });
    each.collect()
}

fn name_of(network: &Value, subnet: &Value) -> Name {
    (text(&network["name"]).to_owned(), text(&subnet["name"]).to_owned())
}

fn range_of(subnet: &Value) -> Option<Cidr> {
    let properties = &subnet["properties"];
    let prefix = properties["addressPrefix"].as_str().or_else(|| properties["addressPrefixes"][0].as_str());
    prefix?.parse().ok()
}

fn read(engine: &Engine, cut: &BTreeSet<Name>) -> Vec<Subnet> {
    let networks = engine.resources_of_type("Microsoft.Network/virtualNetworks");
    let groups = engine.resources_of_type("Microsoft.Network/networkSecurityGroups");
    subnets(&networks, &groups, cut)
}

/// Every subnet that has a security group or is cut off.
fn subnets(networks: &[Value], groups: &[Value], cut: &BTreeSet<Name>) -> Vec<Subnet> {
    let by_id = |values: &[Value]| -> BTreeMap<String, Value> {
        values.iter().map(|value| (key(&value["id"]), value.clone())).collect()
    };
    let (networks, groups) = (by_id(networks), by_id(groups));
    let mut found = Vec::new();
    for network in networks.values() {
        let virtual_network = reachable(network, &networks);
        for subnet in array(&network["properties"]["subnets"]) {
            let group = groups.get(&key(&subnet["properties"]["networkSecurityGroup"]["id"]));
            let name = name_of(network, subnet);
            let cut = cut.contains(&name);
            let Some(range) = range_of(subnet).filter(|_| cut || group.is_some()) else { continue };
            let rules = match group {
                Some(group) => {
                    let own = array(&group["properties"]["securityRules"]);
                    let default = array(&group["properties"]["defaultSecurityRules"]);
                    own.iter().chain(default).filter_map(|rule| security_rule(rule, &virtual_network)).collect()
                }
                None => [Direction::Inbound, Direction::Outbound].map(everything).to_vec(),
            };
            found.push(Subnet { name: format!("{}-{}", name.0, name.1), range, rules, cut });
        }
    }
    found
}

/// What a subnet without a security group lets through.
fn everything(direction: Direction) -> SecurityRule {
    SecurityRule {
        name: "everything".to_owned(),
        priority: 4096,
        direction,
        access: Access::Allow,
        protocol: Protocol::Any,
        sources: vec![Cidr::ALL],
        source_ports: vec![PortRange::ALL],
        destinations: vec![Cidr::ALL],
        destination_ports: vec![PortRange::ALL],
    }
}

/// What the tag VirtualNetwork stands for: the network's own address space and that of connected peers.
fn reachable(network: &Value, networks: &BTreeMap<String, Value>) -> Vec<Cidr> {
    let space = |network: &Value| ranges(&network["properties"]["addressSpace"]["addressPrefixes"]);
    let peers = array(&network["properties"]["virtualNetworkPeerings"]);
    let connected = peers.iter().filter(|peering| peering["properties"]["peeringState"] == "Connected");
    let remote =
        connected.filter_map(|peering| networks.get(&key(&peering["properties"]["remoteVirtualNetwork"]["id"])));
    space(network).into_iter().chain(remote.flat_map(space)).collect()
}

/// None for a rule that is not readable, which Azure would not have taken either.
fn security_rule(rule: &Value, virtual_network: &[Cidr]) -> Option<SecurityRule> {
    let properties = &rule["properties"];
    let is = |name: &str, value: &str| properties[name].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value));
    let addresses = |single: &str, several: &str| -> Vec<Cidr> {
        let listed = array(&properties[several]).iter().chain([&properties[single]]);
        listed.filter_map(Value::as_str).flat_map(|text| prefix(text, virtual_network)).collect()
    };
    let ports = |single: &str, several: &str| -> Vec<PortRange> {
        let listed = array(&properties[several]).iter().chain([&properties[single]]);
        listed.filter_map(Value::as_str).filter_map(port_range).collect()
    };
    Some(SecurityRule {
        name: text(&rule["name"]).to_owned(),
        priority: u32::try_from(properties["priority"].as_u64()?).ok()?,
        direction: if is("direction", "Inbound") { Direction::Inbound } else { Direction::Outbound },
        access: if is("access", "Allow") { Access::Allow } else { Access::Deny },
        protocol: match properties["protocol"].as_str()?.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "icmp" => Protocol::Icmp,
            _ => Protocol::Any,
        },
        sources: addresses("sourceAddressPrefix", "sourceAddressPrefixes"),
        source_ports: ports("sourcePortRange", "sourcePortRanges"),
        destinations: addresses("destinationAddressPrefix", "destinationAddressPrefixes"),
        destination_ports: ports("destinationPortRange", "destinationPortRanges"),
    })
}

/// A prefix, or what a service tag stands for here: only the network and what is not the network have addresses; the
/// load balancer's probes are the router's own, and Azure's services are not in the embedded cloud.
fn prefix(text: &str, virtual_network: &[Cidr]) -> Vec<Cidr> {
    match text {
        "*" => vec![Cidr::ALL],
        "VirtualNetwork" => virtual_network.to_vec(),
        "Internet" => virtual_network
            .iter()
            .fold(vec![Cidr::ALL], |left, hole| left.into_iter().flat_map(|range| range.without(*hole)).collect()),
        range => range.parse().into_iter().collect(),
    }
}

fn port_range(text: &str) -> Option<PortRange> {
    if text == "*" {
        return Some(PortRange::ALL);
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some(PortRange { low: low.trim().parse().ok()?, high: high.trim().parse().ok()? })
}

fn ranges(value: &Value) -> Vec<Cidr> {
    array(value).iter().filter_map(|text| text.as_str()?.parse().ok()).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn key(id: &Value) -> String {
    text(id).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subnet_has_its_groups_rules_with_tags_as_ranges() {
        let networks = [
            json!({"id": "/N/db", "name": "db", "properties": {
            "addressSpace": {"addressPrefixes": ["10.225.0.0/16"]},
            "virtualNetworkPeerings": [{"properties": {"peeringState": "Connected", "remoteVirtualNetwork": {"id": "/n/base"}}}],
            "subnets": [
                {"name": "postgres", "properties": {"addressPrefix": "10.225.0.0/28", "networkSecurityGroup": {"id": "/G/db"}}},
                {"name": "open", "properties": {"addressPrefix": "10.225.1.0/24"}},
            ]}}),
            json!({"id": "/N/base", "name": "base", "properties": {"addressSpace": {"addressPrefixes": ["10.224.0.0/16"]}}}),
        ];
        let rule = |name: &str, source: &str, ports: Value| {
            json!({"name": name, "properties": {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
                "sourceAddressPrefix": source, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ports}})
        };
        let groups = [json!({"id": "/g/DB", "properties": {
            "securityRules": [rule("some", "10.224.2.0/24", json!(["5432", "6000-6010"]))],
            "defaultSecurityRules": [rule("network", "VirtualNetwork", json!(["*"])), rule("storage", "Storage", json!(["443"]))]}})];
        let cut = BTreeSet::from([("db".to_owned(), "open".to_owned())]);
        let with_cut = subnets(&networks, &groups, &cut);
        let seen: Vec<_> = with_cut.iter().map(|subnet| (subnet.name.as_str(), subnet.cut)).collect();
        assert_eq!(seen, [("db-postgres", false), ("db-open", true)]);
        let found = subnets(&networks, &groups, &BTreeSet::new());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].range), ("db-postgres", "10.225.0.0/28".parse().unwrap()));
        let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Cidr>>();
        let sources: Vec<Vec<Cidr>> = found[0].rules.iter().map(|rule| rule.sources.clone()).collect();
        assert_eq!(sources, [cidrs(&["10.224.2.0/24"]), cidrs(&["10.225.0.0/16", "10.224.0.0/16"]), Vec::new()]);
        let ports: Vec<_> = found[0].rules[0].destination_ports.iter().map(|range| (range.low, range.high)).collect();
        assert_eq!(ports, [(5432, 5432), (6000, 6010)]);
        let outside = prefix("Internet", &cidrs(&["10.0.0.0/8"]));
        assert!(!outside.iter().any(|range| range.overlaps("10.1.0.0/16".parse().unwrap())) && outside.len() == 8);
    }
}
