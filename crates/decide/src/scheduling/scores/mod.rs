//! The scores of the default profile of Kubernetes 1.36, each with its weight: which of the feasible nodes is best.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod pod_topology_spread;
mod taint_toleration;

use super::cluster::{Cluster, NodeState};
use super::view::PodView;

/// A node's highest score before the weight.
pub(crate) const MAX: i64 = 100;

pub(crate) trait Score {
    fn score(&self, node: &NodeState) -> i64;
    /// Brings the scores of all feasible nodes (in the order of `nodes`) into 0 to 100.
    fn normalize(&self, _nodes: &[&NodeState], _scores: &mut [i64]) {}
}

/// `None`: the score has nothing to say on this pod.
type Prepare = for<'a> fn(&'a Cluster, &'a PodView, &[&'a NodeState]) -> Option<Box<dyn Score + 'a>>;

/// Name, weight and preparation, in upstream's order.
const SCORES: [(&str, i64, Prepare); 7] = [
    ("TaintToleration", 3, taint_toleration::prepare),
    ("NodeAffinity", 2, node_affinity::prepare),
    ("NodeResourcesFit", 1, node_resources_fit::prepare),
    ("PodTopologySpread", 2, pod_topology_spread::prepare),
    ("InterPodAffinity", 2, inter_pod_affinity::prepare),
    ("NodeResourcesBalancedAllocation", 1, node_resources_balanced_allocation::prepare),
    ("ImageLocality", 1, image_locality::prepare),
];

/// The weighted scores of one plugin, in the order of the nodes.
pub(crate) struct PluginScores {
    pub(crate) name: &'static str,
    pub(crate) scores: Vec<i64>,
}

pub(crate) fn run(cluster: &Cluster, pod: &PodView, nodes: &[&NodeState]) -> Vec<PluginScores> {
    let mut all = Vec::with_capacity(SCORES.len());
    for (name, weight, prepare) in SCORES {
        let Some(score) = prepare(cluster, pod, nodes) else { continue };
        let mut scores: Vec<i64> = nodes.iter().map(|node| score.score(node)).collect();
        score.normalize(nodes, &mut scores);
        scores.iter_mut().for_each(|score| *score *= weight);
        all.push(PluginScores { name, scores });
    }
    all
}

/// `DefaultNormalizeScore` of pkg/scheduler/framework/plugins/helper v1.36.3.
fn default_normalize(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        *score = match (highest, reverse) {
            (0, true) => MAX,
            (0, false) => *score,
            (_, true) => MAX - MAX * *score / highest,
            (_, false) => MAX * *score / highest,
        };
    }
}

#[cfg(test)]
mod tests;
