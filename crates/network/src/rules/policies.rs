//! NetworkPolicies: which pods each one selects, and what its rules let through.
//!
//! A pod that some policy of a direction selects is closed in that direction but for what those policies allow
//! (networking.k8s.io/v1). Pods under the same policies share a chain.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::nft::{self, Chain, Rule, Ruleset, goto, jump, payload, returns};
use super::view::Labels;
use super::{Cidr, PodNet, View};
use crate::plan;

/// The rules that a base chain needs to send packets of pods to their chains.
#[derive(Default)]
pub(super) struct Dispatch {
    pub egress: Vec<Rule>,
    pub ingress: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Egress,
    Ingress,
}

pub(super) fn compile(view: &View, rules: &mut Ruleset) -> Dispatch {
    let mut policies: Vec<&NetworkPolicy> = view.policies.iter().collect();
    policies.sort_by_key(|policy| (policy.metadata.namespace.clone(), policy.metadata.name.clone()));
    let mut pods: Vec<&PodNet> = view.pods.iter().filter(|pod| pod.address.is_some()).collect();
    pods.sort_by_key(|pod| pod.address);
    let world = World { view, pods: &pods };
    Dispatch {
        egress: world.side(Side::Egress, &policies, rules),
        ingress: world.side(Side::Ingress, &policies, rules),
    }
}

struct World<'a> {
    view: &'a View,
    pods: &'a [&'a PodNet],
}

/// What pods must have in common to share a chain: the policies by position, and for named ports the numbers behind them.
type Group = (Vec<usize>, Vec<(String, String, u16)>);

impl World<'_> {
    fn side(&self, side: Side, policies: &[&NetworkPolicy], rules: &mut Ruleset) -> Vec<Rule> {
        let mut groups: BTreeMap<Group, Vec<&PodNet>> = BTreeMap::new();
        for pod in self.pods {
            let selecting: Vec<usize> = (0..policies.len())
                .filter(|index| applies(policies[*index], side) && selects(policies[*index], pod))
                .collect();
            if !selecting.is_empty() {
                let ports = if side == Side::Ingress { pod.ports.clone() } else { Vec::new() };
                groups.entry((selecting, ports)).or_default().push(pod);
            }
        }
        let mut elements = Vec::new();
        for (number, ((selecting, _), members)) in groups.iter().enumerate() {
            let name = match side {
                Side::Egress => format!("egress-{number}"),
                Side::Ingress => format!("ingress-{number}"),
            };
            let mut chain = Chain::new(&name, None);
            for index in selecting {
                self.allow(side, policies[*index], members[0], &mut chain);
            }
            chain.rule(vec![goto("refuse")]);
            rules.chains.push(chain);
            elements.extend(members.iter().filter_map(|pod| Some((nft::host(pod.address?), jump(&name)))));
        }
        if elements.is_empty() {
            return Vec::new();
        }
        let field = if side == Side::Egress { "saddr" } else { "daddr" };
        vec![vec![nft::verdict_map(payload("ip", field), elements)]]
    }

    /// `member` stands for the group: its named ports are everybody's.
    fn allow(&self, side: Side, policy: &NetworkPolicy, member: &PodNet, chain: &mut Chain) {
        let Some(spec) = &policy.spec else { return };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        match side {
            Side::Ingress => {
                for rule in spec.ingress.iter().flatten() {
                    let ports = ports_of(rule.ports.as_deref(), |_| Some(member));
                    self.pass(side, namespace, rule.from.as_deref(), &ports, chain);
                }
            }
            Side::Egress => {
                for rule in spec.egress.iter().flatten() {
                    let named =
                        rule.ports.iter().flatten().any(|port| matches!(port.port, Some(IntOrString::String(_))));
                    if named {
                        self.pass_named(namespace, rule.to.as_deref(), rule.ports.as_deref(), chain);
                    } else {
                        let ports = ports_of(rule.ports.as_deref(), |_| None);
                        self.pass(side, namespace, rule.to.as_deref(), &ports, chain);
                    }
                }
            }
        }
    }

    fn pass(&self, side: Side, namespace: &str, peers: Option<&[NetworkPolicyPeer]>, ports: &Ports, chain: &mut Chain) {
        let addresses: Vec<Option<Vec<Cidr>>> = match peers {
            None | Some([]) => vec![None],
            Some(peers) => vec![Some(peers.iter().flat_map(|peer| self.peer(namespace, peer)).collect())],
        };
        for ranges in addresses {
            if ranges.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let peer = ranges.filter(|ranges| !ranges.contains(&Cidr::ALL)).map(|ranges| match side {
                Side::Egress => nft::destination(&ranges, false),
                Side::Ingress => nft::source(&ranges, false),
            });
            let with = |more: Vec<Value>| -> Rule { peer.iter().cloned().chain(more).chain([returns()]).collect() };
            match ports {
                Ports::Any => chain.rule(with(Vec::new())),
                Ports::These(matches) => matches.iter().for_each(|words| chain.rule(with(words.clone()))),
            }
        }
    }

    /// A named port has another number at every peer.
    fn pass_named(
        &self,
        namespace: &str,
        peers: Option<&[NetworkPolicyPeer]>,
        ports: Option<&[NetworkPolicyPort]>,
        chain: &mut Chain,
    ) {
        for pod in self.pods {
            let Some(address) = pod.address else { continue };
            let among = |peer: &NetworkPolicyPeer| {
                self.peer(namespace, peer).iter().any(|range| range.contains(Cidr::host(address)))
            };
            if peers.is_none_or(|peers| peers.is_empty() || peers.iter().any(among))
                && let Ports::These(matches) = ports_of(ports, |_| Some(pod))
            {
                for words in matches {
                    let peer = nft::destination(&[Cidr::host(address)], false);
                    chain.rule([peer].into_iter().chain(words).chain([returns()]).collect());
                }
            }
        }
    }

    /// The addresses that a peer stands for.
    fn peer(&self, own_namespace: &str, peer: &NetworkPolicyPeer) -> Vec<Cidr> {
        if let Some(block) = &peer.ip_block {
            return block_ranges(block);
        }
        let in_namespace = |namespace: &str| match &peer.namespace_selector {
            None => namespace == own_namespace,
            Some(selector) => self.view.namespaces.get(namespace).is_some_and(|labels| matches(selector, labels)),
        };
        let is_peer = |namespace: &str, labels: &Labels| {
            in_namespace(namespace) && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, labels))
        };
        let pods = self.pods.iter().filter(|pod| is_peer(&pod.namespace, &pod.labels));
        let mut found: Vec<Cidr> = pods.filter_map(|pod| pod.address).map(Cidr::host).collect();
        // The name server is the cloud's own and stands for AKS's CoreDNS pods.
        if is_peer("kube-system", &Labels::from([("k8s-app".to_owned(), "kube-dns".to_owned())])) {
            found.push(Cidr::host(plan::DNS));
        }
        found
    }
}

fn applies(policy: &NetworkPolicy, side: Side) -> bool {
    let Some(spec) = &policy.spec else { return false };
    match (&spec.policy_types, side) {
        (Some(types), Side::Ingress) => types.iter().any(|kind| kind == "Ingress"),
        (Some(types), Side::Egress) => types.iter().any(|kind| kind == "Egress"),
        // The API server's default: Ingress always, Egress with rules for it.
        (None, Side::Ingress) => true,
        (None, Side::Egress) => spec.egress.is_some(),
    }
}

fn selects(policy: &NetworkPolicy, pod: &PodNet) -> bool {
    policy.metadata.namespace.as_deref() == Some(&pod.namespace)
        && policy
            .spec
            .as_ref()
            .is_some_and(|spec| spec.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels)))
}

/// apimachinery's LabelSelectorAsSelector; an operator that it does not know selects nothing.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let among = |value: &String| requirement.values.iter().flatten().any(|wanted| wanted == value);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(among),
                "NotIn" => !value.is_some_and(among),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

fn block_ranges(block: &IPBlock) -> Vec<Cidr> {
    // An IPv6 block matches nothing here: the overlay has no IPv6.
    let Ok(range) = block.cidr.parse::<Cidr>() else { return Vec::new() };
    let holes = block.except.iter().flatten().filter_map(|hole| hole.parse::<Cidr>().ok());
    holes.fold(vec![range], |left, hole| left.into_iter().flat_map(|range| range.without(hole)).collect())
}

enum Ports {
    Any,
    /// Each: the words that match one port or range.
    These(Vec<Vec<Value>>),
}

fn ports_of<'a>(ports: Option<&[NetworkPolicyPort]>, holder: impl Fn(&str) -> Option<&'a PodNet>) -> Ports {
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else { return Ports::Any };
    let one = |port: &NetworkPolicyPort| -> Option<Vec<Value>> {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let mut words = vec![nft::protocol(&protocol.to_ascii_lowercase())];
        let low = match &port.port {
            None => return Some(words),
            Some(IntOrString::Int(number)) => u16::try_from(*number).ok()?,
            Some(IntOrString::String(name)) => {
                let known = &holder(name)?.ports;
                known.iter().find(|(own, kind, _)| own == name && kind == protocol)?.2
            }
        };
        let high = port.end_port.and_then(|end| u16::try_from(end).ok()).unwrap_or(low);
        words.push(nft::ports("dport", low, high));
        Some(words)
    };
    Ports::These(ports.iter().filter_map(one).collect())
}
