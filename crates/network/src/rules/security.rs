//! Security groups: the rules of the subnet that a connection leaves, then of the one that it enters.
//!
//! A pod's connection to anything but a pod is translated to its node's address, and that is what a security group sees;
//! between pods it sees their own addresses (Azure CNI Overlay, "Network security groups"). The rules are evaluated before
//! the translation, so prefixes that hold a node stand for its pods there.

use super::nft::{self, Chain, Rule, Ruleset, goto, jump, returns};
use super::{Cidr, View};
use crate::plan;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Inbound,
    Outbound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Any,
    Tcp,
    Udp,
    Icmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub low: u16,
    pub high: u16,
}

impl PortRange {
    pub const ALL: PortRange = PortRange { low: 0, high: u16::MAX };
}

/// A rule with service tags already turned into ranges. Empty sources or destinations match nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityRule {
    pub name: String,
    /// 100 to 4096; the lowest is asked first.
    pub priority: u32,
    pub direction: Direction,
    pub access: Access,
    pub protocol: Protocol,
    pub sources: Vec<Cidr>,
    pub source_ports: Vec<PortRange>,
    pub destinations: Vec<Cidr>,
    pub destination_ports: Vec<PortRange>,
}

/// A subnet with its security group's rules, Azure's default rules among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `network-subnet`, for the names of its chains.
    pub name: String,
    pub range: Cidr,
    pub rules: Vec<SecurityRule>,
    /// Nothing comes in or goes out, not even on connections that exist; for faults on demand.
    pub cut: bool,
}

/// What of a subnet that is cut off is inside: its own addresses and its nodes' pods.
pub(super) fn cut_off(view: &View) -> Vec<Vec<Cidr>> {
    let mut cut: Vec<&Subnet> = view.subnets.iter().filter(|subnet| subnet.cut).collect();
    cut.sort_by_key(|subnet| subnet.range);
    let inside = |subnet: &&Subnet| {
        let own = view.nodes.iter().filter(|node| subnet.range.contains(Cidr::host(node.address)));
        let mut inside: Vec<Cidr> = own.map(|node| node.pods).chain([subnet.range]).collect();
        inside.sort();
        inside
    };
    cut.iter().map(inside).collect()
}

pub(super) fn compile(view: &View, rules: &mut Ruleset) {
    let pods = Cidr::new(plan::PODS.0, plan::PODS.1);
    let mut subnets: Vec<&Subnet> = view.subnets.iter().collect();
    subnets.sort_by_key(|subnet| subnet.range);
    let mut nodes: Vec<_> = view.nodes.iter().collect();
    nodes.sort_by_key(|node| node.pods);
    let mut leaving = Vec::new();
    let mut entering = Vec::new();
    for subnet in subnets {
        let inside: Vec<Cidr> =
            nodes.iter().filter(|node| subnet.range.contains(Cidr::host(node.address))).map(|node| node.pods).collect();
        for (direction, word) in [(Direction::Outbound, "out"), (Direction::Inbound, "in")] {
            for (to_pods, other) in [(true, "pods"), (false, "other")] {
                let name = format!("{word}-{}-{other}", subnet.name);
                let mut chain = Chain::new(&name, None);
                let translate = |ranges: &[Cidr]| if to_pods { None } else { Some(seen_as_nodes(ranges, view)) };
                one_direction(subnet, direction, &translate, &mut chain);
                rules.chains.push(chain);
            }
        }
        for range in inside.iter().copied().chain([subnet.range]) {
            let out = |kind: &str| format!("out-{}-{kind}", subnet.name);
            leaving.push(vec![nft::source(&[range], false), nft::destination(&[pods], false), jump(&out("pods"))]);
            leaving.push(vec![nft::source(&[range], false), nft::destination(&[pods], true), jump(&out("other"))]);
        }
        let into = |kind: &str| format!("in-{}-{kind}", subnet.name);
        entering.extend(inside.iter().map(|range| vec![nft::destination(&[*range], false), jump(&into("pods"))]));
        entering.push(vec![nft::destination(&[subnet.range], false), jump(&into("other"))]);
    }
    let mut chain = Chain::new("security", None);
    // Pods of one node never leave it; the name server is a pod everywhere.
    for node in &nodes {
        chain.rule(vec![nft::source(&[node.pods], false), nft::destination(&[node.pods], false), returns()]);
    }
    chain.rule(vec![nft::destination(&[Cidr::new(plan::SERVICES.0, plan::SERVICES.1)], false), returns()]);
    chain.rules.extend(leaving);
    chain.rules.extend(entering);
    rules.chains.push(chain);
}

/// How sources look before translation: ranges as they are without pods, and the pods of nodes that lie within.
struct Seen {
    literal: Vec<Cidr>,
    nodes_pods: Vec<Cidr>,
}

fn seen_as_nodes(ranges: &[Cidr], view: &View) -> Seen {
    let pods = Cidr::new(plan::PODS.0, plan::PODS.1);
    let nodes = view.nodes.iter().filter(|node| ranges.iter().any(|range| range.contains(Cidr::host(node.address))));
    Seen {
        literal: ranges.iter().flat_map(|range| range.without(pods)).collect(),
        nodes_pods: nodes.map(|node| node.pods).collect(),
    }
}

fn one_direction(
    subnet: &Subnet,
    direction: Direction,
    translate: &dyn Fn(&[Cidr]) -> Option<Seen>,
    chain: &mut Chain,
) {
    let mut own: Vec<&SecurityRule> = subnet.rules.iter().filter(|rule| rule.direction == direction).collect();
    own.sort_by_key(|rule| rule.priority);
    for rule in own {
        let sources = match translate(&rule.sources) {
            _ if rule.sources.contains(&Cidr::ALL) => vec![Cidr::ALL],
            None => rule.sources.clone(),
            Some(seen) => [seen.literal, seen.nodes_pods].concat(),
        };
        if sources.is_empty() || rule.destinations.is_empty() {
            continue;
        }
        for source_ports in &rule.source_ports {
            for destination_ports in &rule.destination_ports {
                chain.rule(words(rule, &sources, *source_ports, *destination_ports));
            }
        }
    }
    // Azure's own last rule says so too; a group without its default rules would otherwise let everything through.
    chain.rule(vec![goto("refuse")]);
}

fn words(rule: &SecurityRule, sources: &[Cidr], source_ports: PortRange, destination_ports: PortRange) -> Rule {
    let mut words = Vec::new();
    if !sources.contains(&Cidr::ALL) {
        words.push(nft::source(sources, false));
    }
    if !rule.destinations.contains(&Cidr::ALL) {
        words.push(nft::destination(&rule.destinations, false));
    }
    match rule.protocol {
        Protocol::Any => {}
        Protocol::Tcp => words.push(nft::protocol("tcp")),
        Protocol::Udp => words.push(nft::protocol("udp")),
        Protocol::Icmp => words.push(nft::protocol("icmp")),
    }
    for (field, range) in [("sport", source_ports), ("dport", destination_ports)] {
        if range != PortRange::ALL {
            words.push(nft::ports(field, range.low, range.high));
        }
    }
    words.push(match rule.access {
        Access::Allow => returns(),
        Access::Deny => goto("refuse"),
    });
    words
}
