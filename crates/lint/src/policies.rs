//! Network policies, as their specification judges a connection.

use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::Workload;

use crate::addresses::Range;
use crate::context::{namespace_of, running};
use crate::{Context, labels};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        }
    }

    pub(crate) fn field(self) -> &'static str {
        match self {
            Direction::Ingress => "/spec/ingress",
            Direction::Egress => "/spec/egress",
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    Pod(&'a Workload),
    /// CoreDNS, which no manifest has.
    Dns,
    Address(Ipv4Addr),
}

#[derive(Clone, Copy)]
pub(crate) struct Port<'a> {
    pub(crate) protocol: &'a str,
    pub(crate) number: i32,
}

/// The policies that rule a direction of a workload's pods; without any, everything is allowed.
pub(crate) fn ruling<'a>(
    context: &'a Context<'_>,
    workload: &'a Workload,
    direction: Direction,
) -> impl Iterator<Item = &'a (usize, NetworkPolicy)> {
    context.policies.iter().filter(move |(_, policy)| {
        let Some(spec) = &policy.spec else { return false };
        let types = spec.policy_types.as_deref().unwrap_or_default();
        let rules = match types {
            // The default: ingress always, egress where the policy has rules for it.
            [] => direction == Direction::Ingress || spec.egress.is_some(),
            types => types.iter().any(|kind| kind == direction.name()),
        };
        let selects =
            spec.pod_selector.as_ref().is_none_or(|selector| labels::matches(selector, workload.pod_labels()));
        rules && selects && namespace_of(&policy.metadata.namespace) == workload.namespace
    })
}

/// Whether a workload's policies let a connection through in one direction.
pub(crate) fn allows(
    context: &Context<'_>,
    workload: &Workload,
    direction: Direction,
    peer: Peer<'_>,
    port: Port<'_>,
) -> bool {
    let mut policies = ruling(context, workload, direction).peekable();
    if policies.peek().is_none() {
        return true;
    }
    // A port's name is looked up where the connection arrives.
    let server = match (direction, peer) {
        (Direction::Ingress, _) => Some(workload),
        (Direction::Egress, Peer::Pod(pod)) => Some(pod),
        (Direction::Egress, _) => None,
    };
    policies.any(|(_, policy)| {
        let namespace = namespace_of(&policy.metadata.namespace);
        let Some(spec) = &policy.spec else { return false };
        let through = |peers: &Option<Vec<NetworkPolicyPeer>>, ports: &Option<Vec<NetworkPolicyPort>>| {
            let from = peers.as_ref().is_none_or(|peers| {
                peers.is_empty() || peers.iter().any(|rule| peer_matches(context, namespace, rule, peer))
            });
            let to = ports
                .as_ref()
                .is_none_or(|ports| ports.is_empty() || ports.iter().any(|rule| port_matches(rule, port, server)));
            from && to
        };
        match direction {
            Direction::Ingress => spec.ingress.iter().flatten().any(|rule| through(&rule.from, &rule.ports)),
            Direction::Egress => spec.egress.iter().flatten().any(|rule| through(&rule.to, &rule.ports)),
        }
    })
}

fn peer_matches(context: &Context<'_>, own: &str, rule: &NetworkPolicyPeer, peer: Peer<'_>) -> bool {
    if let Some(block) = &rule.ip_block {
        let Peer::Address(address) = peer else { return false };
        let inside = |text: &String| Range::parse(text).is_some_and(|range| range.has(address));
        return inside(&block.cidr) && !block.except.iter().flatten().any(inside);
    }
    let dns = [("k8s-app".to_owned(), "kube-dns".to_owned())].into();
    let (namespace, labels) = match peer {
        Peer::Pod(workload) => (workload.namespace.as_str(), workload.pod_labels()),
        Peer::Dns => ("kube-system", &dns),
        Peer::Address(_) => return false,
    };
    let in_namespace = match &rule.namespace_selector {
        None => namespace == own,
        Some(selector) => {
            context.namespaces.get(namespace).is_some_and(|namespace| labels::matches(selector, namespace))
        }
    };
    in_namespace && rule.pod_selector.as_ref().is_none_or(|selector| labels::matches(selector, labels))
}

fn port_matches(rule: &NetworkPolicyPort, port: Port<'_>, server: Option<&Workload>) -> bool {
    if rule.protocol.as_deref().unwrap_or("TCP") != port.protocol {
        return false;
    }
    match &rule.port {
        None => true,
        Some(IntOrString::Int(first)) => (*first..=rule.end_port.unwrap_or(*first)).contains(&port.number),
        Some(IntOrString::String(name)) => server.is_some_and(|server| {
            let ports = running(server).flat_map(|(_, container)| container.ports.iter().flatten());
            ports.into_iter().any(|known| known.name.as_ref() == Some(name) && known.container_port == port.number)
        }),
    }
}
