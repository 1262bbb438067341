//! What must hold of a cluster at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Finding, Findings, placement};
use crate::nodes::{GroupView, InstanceState};
use crate::scheduling::view::{NodeView, PodKey, PodView, Resources, Selector};

/// A cluster at one instant.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub nodes: Vec<Arc<NodeView>>,
    pub pods: Vec<Arc<PodView>>,
    pub groups: Vec<GroupView>,
}

/// Everything in the state that must not be; empty where all is well.
pub fn state(state: &State) -> Vec<Finding> {
    let mut findings = Findings::default();
    let nodes = unique_nodes(&mut findings, state);
    unique_pods(&mut findings, state);
    let mut by_node: BTreeMap<&str, Vec<&PodView>> = BTreeMap::new();
    for pod in state.pods.iter().filter(|pod| !pod.is_terminal()) {
        let Some(node) = pod.node.as_deref() else { continue };
        match nodes.get(node) {
            Some(view) => {
                placement::lasting(&mut findings, pod, view);
                by_node.entry(node).or_default().push(pod);
            }
            None => findings.note("pod.node", format!("{} is bound to {node}, which is not there", pod.key())),
        }
    }
    for (node, pods) in &by_node {
        within_capacity(&mut findings, nodes[node], pods);
        ports(&mut findings, node, pods);
    }
    anti_affinity(&mut findings, &nodes, &by_node);
    groups(&mut findings, state);
    findings.0
}

fn unique_nodes<'a>(findings: &mut Findings, state: &'a State) -> BTreeMap<&'a str, &'a NodeView> {
    let mut nodes = BTreeMap::new();
    for node in &state.nodes {
        let known = nodes.insert(node.name.as_str(), &**node);
        findings.unless(known.is_none(), "node.unique", || format!("{} is there twice", node.name));
    }
    nodes
}

fn unique_pods(findings: &mut Findings, state: &State) {
    let mut seen: BTreeSet<PodKey> = BTreeSet::new();
    for pod in &state.pods {
        findings.unless(seen.insert(pod.key()), "pod.unique", || format!("{} is there twice", pod.key()));
    }
}

fn within_capacity(findings: &mut Findings, node: &NodeView, pods: &[&PodView]) {
    let mut total = Resources::default();
    for pod in pods {
        total.add(&pod.requests);
    }
    let (have, name) = (&node.allocatable, &node.name);
    let mut amounts = vec![
        ("node.cpu", "cpu", total.cpu.0, have.cpu.0),
        ("node.memory", "memory", total.memory.0, have.memory.0),
        ("node.storage", "ephemeral-storage", total.ephemeral_storage.0, have.ephemeral_storage.0),
        ("node.pods", "pods", pods.len() as i64, node.pod_limit),
    ];
    for (resource, wanted) in &total.scalar {
        amounts.push(("node.scalar", resource, *wanted, have.scalar.get(resource).copied().unwrap_or(0)));
    }
    for (rule, resource, wanted, have) in amounts {
        findings.unless(wanted <= have, rule, || format!("{name} has {have} of {resource}, its pods take {wanted}"));
    }
}

fn ports(findings: &mut Findings, node: &str, pods: &[&PodView]) {
    for (index, pod) in pods.iter().enumerate() {
        for other in &pods[index + 1..] {
            let clash = pod.host_ports.iter().any(|port| other.host_ports.iter().any(|used| used.conflicts(port)));
            findings.unless(!clash, "node.port", || {
                format!("{} and {} share a host port on {node}", pod.key(), other.key())
            });
        }
    }
}

fn anti_affinity(findings: &mut Findings, nodes: &BTreeMap<&str, &NodeView>, by_node: &BTreeMap<&str, Vec<&PodView>>) {
    for (home, pods) in by_node {
        for pod in pods {
            for term in &pod.anti_affinity {
                let Some(domain) = nodes[home].labels.get(&term.topology_key) else { continue };
                // Namespaces by selector need their labels, which this state does not have.
                let selects = |other: &PodView| {
                    let everywhere = matches!(&term.namespace_selector, Selector::All(all) if all.is_empty());
                    (everywhere || term.namespaces.contains(&other.namespace)) && term.selector.matches(&other.labels)
                };
                let near = by_node
                    .iter()
                    .filter(|(node, _)| nodes[*node].labels.get(&term.topology_key) == Some(domain))
                    .flat_map(|(_, pods)| pods);
                for other in near.filter(|other| other.key() != pod.key() && selects(other)) {
                    let text =
                        format!("{} repels {}, which is in the same {}", pod.key(), other.key(), term.topology_key);
                    findings.note("pod.anti-affinity", text);
                }
            }
        }
    }
}

fn groups(findings: &mut Findings, state: &State) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for group in &state.groups {
        let (name, target) = (&group.name, group.target_size);
        findings
            .unless(target <= group.max, "group.max", || format!("{name} has {target} nodes of at most {}", group.max));
        findings.unless(target >= group.min, "group.min", || {
            format!("{name} has {target} nodes of at least {}", group.min)
        });
        let staying = group.instances.iter().filter(|instance| instance.state != InstanceState::Deleting).count();
        findings.unless(staying as i64 <= i64::from(target), "group.size", || {
            format!("{name} has {staying} instances for a size of {target}")
        });
        for instance in &group.instances {
            let other = owners.insert(&instance.name, name);
            findings.unless(other.is_none(), "group.instance", || format!("{} is in a group twice", instance.name));
        }
    }
}
