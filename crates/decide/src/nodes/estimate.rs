//! How many nodes of a group a set of pods needs: bin packing, largest pods first.
//!
//! After `estimator/binpacking_estimator.go` of cluster-autoscaler 1.36.1.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::GroupView;
use super::template;
use super::world::World;
use crate::scheduling::fits;
use crate::scheduling::view::PodView;

/// Pods that scheduling cannot tell apart.
pub(super) type PodGroup = Vec<Arc<PodView>>;

/// No scale-up adds more (`--max-nodes-per-scaleup`).
const MOST_NODES: i32 = 1000;

const SPREAD_MESSAGE: &str = "node(s) didn't match pod topology spread constraints";

struct Estimation<'w, 'a> {
    world: &'w mut World<'a>,
    group: usize,
    limit: i32,
    /// New nodes, in order.
    nodes: Vec<String>,
    /// Where the next search among them starts.
    rotation: usize,
    /// Nodes that received a pod. A node that is there already may be among them, and upstream counts it too.
    used: BTreeSet<String>,
    placed: Vec<Arc<PodView>>,
}

/// The nodes that received a pod, and the pods that would run. `limit` is how many nodes may come at most.
pub(super) fn estimate(
    world: &mut World<'_>,
    group: usize,
    mut pods: Vec<PodGroup>,
    limit: i32,
) -> (i32, Vec<Arc<PodView>>) {
    let view = &world.snapshot.groups[group];
    pods.sort_by(|a, b| size(&b[0], view).total_cmp(&size(&a[0], view)));
    let mark = world.mark();
    let mut estimation = Estimation {
        world,
        group,
        limit: limit.min(MOST_NODES),
        nodes: Vec::new(),
        rotation: 0,
        used: BTreeSet::new(),
        placed: Vec::new(),
    };
    let mut may_grow = true;
    for similar in pods {
        let rest = estimation.on_known_new_nodes(&similar);
        if may_grow {
            may_grow = estimation.on_more_nodes(&similar[rest..]);
        }
    }
    estimation.world.revert(mark);
    (estimation.used.len() as i32, estimation.placed)
}

/// The share of a node's CPU and of its memory that the pod asks for, added up.
pub(super) fn size(pod: &PodView, group: &GroupView) -> f64 {
    let share = |wanted: i64, all: i64| if all > 0 { wanted as f64 / all as f64 } else { 0.0 };
    let all = &group.template.allocatable;
    share(pod.requests.cpu.0, all.cpu.0) + share(pod.requests.memory.0, all.memory.0)
}

impl Estimation<'_, '_> {
    /// Fills the nodes that this estimation added; the index of the first pod that does not fit.
    fn on_known_new_nodes(&mut self, pods: &[Arc<PodView>]) -> usize {
        for (index, pod) in pods.iter().enumerate() {
            let Some(found) = self.world.place_among(pod, &self.nodes, self.rotation) else { return index };
            self.rotation = found + 1;
            let node = self.nodes[found].clone();
            self.note(pod, node);
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
            if self.nodes.last().is_some_and(|name| !self.used.contains(name)) {
                return true;
            }
            if self.nodes.len() as i32 >= self.limit {
                return false;
            }
            let name = format!("template-{}-{}", self.world.snapshot.groups[self.group].name, self.nodes.len());
            template::add(self.world, self.group, &name);
            self.nodes.push(name);
            if !self.fits_on_last(pod).unwrap_or(false) {
                break;
            }
        }
        true
    }

    fn on_last_node(&mut self, pod: &Arc<PodView>) -> bool {
        match self.fits_on_last(pod) {
            Ok(fits) => fits,
            // A pod that must spread over nodes may fit on another one, now that there is one more.
            Err(message) if message == SPREAD_MESSAGE && spreads_over_nodes(pod) => {
                let last = self.nodes.last().cloned().unwrap_or_default();
                let last = self.world.cluster.find(&last);
                match self.world.place(pod, None, |_, index| Some(index) != last) {
                    Some(index) => {
                        let node = self.world.cluster.nodes[index].name().to_owned();
                        self.note(pod, node);
                        true
                    }
                    None => false,
                }
            }
            Err(_) => false,
        }
    }

    /// # Errors
    /// With the message of the filter that rejects the pod.
    fn fits_on_last(&mut self, pod: &Arc<PodView>) -> Result<bool, String> {
        let Some(last) = self.nodes.last().cloned() else { return Ok(false) };
        let unbound = template::unbound(pod);
        fits(self.world.cluster, &unbound, &last)?;
        self.world.put(unbound, &last);
        self.note(pod, last);
        Ok(true)
    }

    fn note(&mut self, pod: &Arc<PodView>, node: String) {
        self.used.insert(node);
        self.placed.push(Arc::clone(pod));
    }
}

fn spreads_over_nodes(pod: &PodView) -> bool {
    pod.spread.iter().any(|constraint| constraint.topology_key == "kubernetes.io/hostname")
}
