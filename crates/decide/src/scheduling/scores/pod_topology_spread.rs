//! PodTopologySpread: the soft constraints, or the system's defaults for pods of a service or owner.

use super::{MAX, Score};
use crate::scheduling::cluster::{Cluster, NodeState, Symbol};
use crate::scheduling::filters::{Constraint, Places};
use crate::scheduling::view::{InclusionPolicy, PodView, Selector, SpreadConstraint};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

struct Counted {
    constraint: Constraint,
    /// By symbol of the domain's label value, for domains with a feasible node; `None` for the host name, where the node
    /// itself is the domain.
    counts: Option<Vec<i64>>,
    weight: f64,
}

struct State {
    counted: Vec<Counted>,
    requires_all_keys: bool,
}

pub(super) fn prepare<'a>(
    cluster: &'a Cluster,
    pod: &'a PodView,
    nodes: &[&'a NodeState],
) -> Option<Box<dyn Score + 'a>> {
    let constraints = constraints(cluster, pod);
    if constraints.is_empty() {
        return None;
    }
    let mut state = State { counted: Vec::new(), requires_all_keys: !pod.spread.is_empty() };
    for constraint in &constraints {
        state.counted.push(Counted {
            counts: (constraint.topology_key != HOSTNAME).then(|| {
                // Where no node has the label, no domain is ever looked up.
                let known = cluster.symbols.find(&constraint.topology_key).is_some();
                vec![ABSENT; if known { cluster.symbols.len() } else { 0 }]
            }),
            constraint: Constraint::new(cluster, pod, constraint),
            weight: 0.0,
        });
    }
    state.weigh(nodes);
    state.count(cluster, &Places::new(cluster, pod));
    Some(Box::new(state))
}

/// A domain without a feasible node.
const ABSENT: i64 = -1;

fn constraints(cluster: &Cluster, pod: &PodView) -> Vec<SpreadConstraint> {
    if !pod.spread.is_empty() {
        return pod.spread.iter().filter(|constraint| !constraint.hard).cloned().collect();
    }
    let selector = cluster.context.default_selector(pod);
    if selector.is_empty() || selector == Selector::Nothing {
        return Vec::new();
    }
    let constraint = |topology_key: &str, max_skew| SpreadConstraint {
        max_skew,
        topology_key: topology_key.to_owned(),
        hard: false,
        selector: selector.clone(),
        min_domains: 1,
        node_affinity_policy: InclusionPolicy::Honor,
        node_taints_policy: InclusionPolicy::Ignore,
    };
    vec![constraint(HOSTNAME, 3), constraint(ZONE, 5)]
}

impl State {
    /// Whether the node lacks a topology key that its score would need.
    fn ignores(&self, node: &NodeState) -> bool {
        self.requires_all_keys && self.counted.iter().any(|counted| counted.constraint.domain(node).is_none())
    }

    /// The more domains, the less each pod in one counts.
    fn weigh(&mut self, nodes: &[&NodeState]) {
        let scored: Vec<_> = nodes.iter().filter(|node| !self.ignores(node)).collect();
        for counted in &mut self.counted {
            let Some(counts) = &mut counted.counts else {
                counted.weight = ((scored.len() + 2) as f64).ln();
                continue;
            };
            let (mut domains, mut unlabelled) = (0, false);
            for node in &scored {
                match counted.constraint.domain(node) {
                    Some(Symbol(domain)) if counts[domain as usize] == ABSENT => {
                        counts[domain as usize] = 0;
                        domains += 1;
                    }
                    Some(_) => {}
                    // Upstream counts the nodes without the label as one more domain, by its empty value.
                    None => unlabelled = true,
                }
            }
            counted.weight = ((domains + usize::from(unlabelled) + 2) as f64).ln();
        }
    }

    fn count(&mut self, cluster: &Cluster, places: &Places) {
        if self.counted.iter().all(|counted| counted.counts.is_none() || counted.constraint.key.is_none()) {
            return;
        }
        for at in 0..self.counted.len() {
            let Some(mut counts) = self.counted[at].counts.take() else { continue };
            let constraint = &self.counted[at].constraint;
            for (node, pods) in constraint.classes().flat_map(|class| cluster.live_by_node(class)) {
                let Some(Symbol(domain)) = constraint.domain(node) else { continue };
                if counts[domain as usize] != ABSENT && !self.ignores(node) && constraint.includes(node, places) {
                    counts[domain as usize] += i64::from(pods);
                }
            }
            self.counted[at].counts = Some(counts);
        }
    }
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        if self.ignores(node) {
            return 0;
        }
        let mut total = 0.0;
        for Counted { constraint, counts, weight } in &self.counted {
            let Some(Symbol(domain)) = constraint.domain(node) else { continue };
            let pods = match counts {
                Some(counts) => counts[domain as usize].max(0),
                None => constraint.count(node),
            };
            total += pods as f64 * weight + f64::from(constraint.max_skew - 1);
        }
        total.round() as i64
    }

    fn normalize(&self, nodes: &[&NodeState], scores: &mut [i64]) {
        let scored = |index: &usize| !self.ignores(nodes[*index]);
        let lowest = (0..nodes.len()).filter(scored).map(|i| scores[i]).min().unwrap_or(0);
        let highest = (0..nodes.len()).filter(scored).map(|i| scores[i]).max().unwrap_or(0);
        for (index, score) in scores.iter_mut().enumerate() {
            *score = if !scored(&index) {
                0
            } else if highest == 0 {
                MAX
            } else {
                MAX * (highest + lowest - *score) / highest
            };
        }
    }
}
