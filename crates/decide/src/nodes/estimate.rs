//! How many nodes of a group a set of pods needs: bin packing, largest pods first.
//!
//! After `estimator/binpacking_estimator.go` of cluster-autoscaler 1.36.1.

use std::sync::Arc;

use super::model::GroupView;
use super::template;
use super::world::World;
use crate::scheduling::fits;
use crate::scheduling::view::{PodKey, PodView};

/// Pods that scheduling cannot tell apart.
pub(super) type PodGroup = Vec<Arc<PodView>>;

/// No scale-up adds more (`--max-nodes-per-scaleup`).
const MOST_NODES: i32 = 1000;

const SPREAD_MESSAGE: &str = "node(s) didn't match pod topology spread constraints";

struct Estimation<'w, 'a> {
    world: &'w mut World<'a>,
    group: &'a GroupView,
    limit: i32,
    /// New nodes, in order, and whether a pod was put on each.
    nodes: Vec<(String, bool)>,
    placed: Vec<(Arc<PodView>, PodKey)>,
}

/// The nodes that received a pod, and the pods that would run. `limit` is how many nodes may come at most.
pub(super) fn estimate<'a>(
    world: &mut World<'a>,
    group: &'a GroupView,
    mut pods: Vec<PodGroup>,
    limit: i32,
) -> (i32, Vec<Arc<PodView>>) {
    pods.sort_by(|a, b| size(&b[0], group).total_cmp(&size(&a[0], group)));
    let limit = limit.min(MOST_NODES);
    let mut estimation = Estimation { world, group, limit, nodes: Vec::new(), placed: Vec::new() };
    let mut may_grow = true;
    for similar in pods {
        let rest = estimation.on_known_new_nodes(&similar);
        if may_grow {
            may_grow = estimation.on_more_nodes(&similar[rest..]);
        }
    }
    estimation.finish()
}

/// The share of a node's CPU and of its memory that the pod asks for, added up.
fn size(pod: &PodView, group: &GroupView) -> f64 {
    let share = |wanted: i64, all: i64| if all > 0 { wanted as f64 / all as f64 } else { 0.0 };
    let all = &group.template.allocatable;
    share(pod.requests.cpu.0, all.cpu.0) + share(pod.requests.memory.0, all.memory.0)
}

impl Estimation<'_, '_> {
    /// Fills the nodes that this estimation added; the index of the first pod that does not fit.
    fn on_known_new_nodes(&mut self, pods: &[Arc<PodView>]) -> usize {
        for (index, pod) in pods.iter().enumerate() {
            let nodes = &self.nodes;
            if nodes.is_empty() {
                return index;
            }
            let new = |name: &str| nodes.iter().any(|(node, _)| node == name);
            let Some(node) = self.world.place(pod, new) else { return index };
            self.note(pod, &node);
        }
        pods.len()
    }

    /// Whether more nodes may be added afterwards.
    fn on_more_nodes(&mut self, pods: &[Arc<PodView>]) -> bool {
        for pod in pods {
            if self.on_last_node(pod) {
                continue;
            }
            // Another node would be as empty as this one: the pod does not fit on any.
            if self.nodes.last().is_some_and(|(_, used)| !used) {
                return true;
            }
            if self.nodes.len() as i32 >= self.limit {
                return false;
            }
            let name = format!("template-{}-{}", self.group.name, self.nodes.len());
            template::add(&mut self.world.cluster, self.world.snapshot, self.group, &name);
            self.nodes.push((name, false));
            if !self.on_last_node(pod) {
                break;
            }
        }
        true
    }

    fn on_last_node(&mut self, pod: &Arc<PodView>) -> bool {
        let Some(last) = self.nodes.last().map(|(name, _)| name.clone()) else { return false };
        let unbound = template::unbound(pod);
        match fits(&self.world.cluster, &unbound, &last) {
            Ok(()) => {
                self.world.cluster.assume_pod(unbound, &last);
                self.note(pod, &last);
                true
            }
            // A pod that must spread over nodes may fit on an earlier one, now that there is one more.
            Err(message) if message == SPREAD_MESSAGE && spreads_over_nodes(pod) => {
                match self.world.place(pod, |name| name != last) {
                    Some(node) => {
                        self.note(pod, &node);
                        true
                    }
                    None => false,
                }
            }
            Err(_) => false,
        }
    }

    fn note(&mut self, pod: &Arc<PodView>, node: &str) {
        if let Some(entry) = self.nodes.iter_mut().find(|(name, _)| name == node) {
            entry.1 = true;
        }
        self.placed.push((Arc::clone(pod), pod.key()));
    }

    /// Leaves the world as it was.
    fn finish(self) -> (i32, Vec<Arc<PodView>>) {
        for (_, key) in &self.placed {
            self.world.cluster.remove_pod(&key.namespace, &key.name);
        }
        for (name, _) in &self.nodes {
            template::remove(&mut self.world.cluster, name);
        }
        let used = self.nodes.iter().filter(|(_, used)| *used).count();
        (used as i32, self.placed.into_iter().map(|(pod, _)| pod).collect())
    }
}

fn spreads_over_nodes(pod: &PodView) -> bool {
    pod.spread.iter().any(|constraint| constraint.topology_key == "kubernetes.io/hostname")
}
