//! The cluster as the scheduler keeps it: changed pod by pod and node by node, read by every attempt.

mod classes;
mod context;
mod node;
mod symbols;
mod thought;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use classes::{ClassId, Classes, PodClass};
pub(crate) use context::Context;
pub(crate) use node::{NodeState, PodOnNode, TaintsId};
pub(crate) use symbols::{Symbol, Symbols};
pub(crate) use thought::{Lifted, Vocabulary};
pub(crate) use verdicts::{Code, ShapeId, Verdicts};

use super::view::{NodeView, PodKey, PodView, Taint};

/// Nodes, the pods bound or nominated to them, and the objects that scheduling looks up.
///
/// Nodes are kept in the order of their names, so that a decision depends on the cluster and not on its history.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    #[expect(
        clippy::vec_box,
        reason = "nodes are taken out and put back in thought by the hundred, which would move all the others"
    )]
    pub(crate) nodes: Vec<Box<NodeState>>,
    /// In the order of the nodes.
    pub(crate) marks: Vec<Mark>,
    /// The last version that any node was given, and the places of [`Mark::slot`] that are free or have never been taken.
    versions: u64,
    free_slots: Vec<u32>,
    slots: u32,
    pub(crate) verdicts: Verdicts,
    /// By class and slot: the pods that are not being deleted. Moves in thought are not in it.
    live: Vec<Vec<u32>>,
    pub(crate) symbols: Symbols,
    pub(crate) classes: Classes,
    pub(crate) context: Context,
    /// By node: the pods that wait for room there, highest priority first.
    pub(crate) nominated: BTreeMap<String, Vec<Arc<PodView>>>,
    /// By claim (namespace, name): how many bound pods mount it.
    pub(crate) claims_in_use: BTreeMap<(String, String), u32>,
    taint_ids: BTreeMap<Vec<Taint>, TaintsId>,
    /// Those that no node has any more are empty.
    pub(crate) taint_lists: Vec<Vec<Taint>>,
    /// By taint list: the nodes that have it.
    taint_uses: Vec<u32>,
    free_taints: Vec<TaintsId>,
    /// Goes up with every new taint list.
    taint_generation: u64,
    /// Size and number of nodes of every image, by symbol.
    pub(crate) images: BTreeMap<Symbol, ImageState>,
    /// Where each known pod is.
    places: BTreeMap<PodKey, Place>,
    /// Pods bound to nodes that are not known (yet).
    orphans: BTreeMap<String, Vec<Arc<PodView>>>,
}

/// Tells a node, and a state of it, from all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Its place in lists by node, for as long as it is there.
    pub(crate) slot: u32,
    /// Another one after every change; never used for another state.
    pub(crate) version: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageState {
    /// As the first node to report it says.
    pub(crate) bytes: i64,
    pub(crate) nodes: u32,
}

#[derive(Clone, Debug)]
enum Place {
    Bound(String),
    Nominated(String),
}

impl Cluster {
    pub fn new() -> Cluster {
        Cluster::default()
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The names of all nodes, sorted.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name())
    }

    /// The pods on a node; none for an unknown node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Arc<PodView>> {
        let state = self.find(node).map(|index| &self.nodes[index]);
        state.into_iter().flat_map(|state| state.pods.iter().map(|pod| &pod.view))
    }

    /// The pods on the node at this place.
    pub(crate) fn pods_at(&self, index: usize) -> impl Iterator<Item = &Arc<PodView>> {
        self.nodes[index].pods.iter().map(|pod| &pod.view)
    }

    /// More than the slot of any node.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots as usize
    }

    pub fn node(&self, name: &str) -> Option<&Arc<NodeView>> {
        self.find(name).map(|index| &self.nodes[index].view)
    }

    pub(crate) fn find(&self, node: &str) -> Option<usize> {
        self.nodes.binary_search_by(|state| state.name().cmp(node)).ok()
    }

    /// Adds a node or replaces what is known of it; its pods stay.
    pub fn upsert_node(&mut self, view: impl Into<Arc<NodeView>>) {
        let view = view.into();
        let taints = self.taints_id(&view.taints);
        let mut state = Box::new(NodeState::new(Arc::clone(&view), taints, &mut self.symbols));
        match self.nodes.binary_search_by(|known| known.name().cmp(&view.name)) {
            Ok(index) => {
                self.forget_images(index);
                for pod in std::mem::take(&mut self.nodes[index].pods) {
                    state.attach(pod);
                }
                let before = std::mem::replace(&mut self.nodes[index], state);
                self.release_taints(before.taints);
                self.touch(index);
            }
            Err(index) => {
                self.nodes.insert(index, state);
                let mark = self.new_mark();
                self.marks.insert(index, mark);
                for pod in self.orphans.remove(&view.name).unwrap_or_default() {
                    self.attach(pod, &view.name);
                }
            }
        }
        self.count_images(&view);
    }

    /// Forgets a node. Pods that are still bound to it wait for it to come back or for their own removal.
    pub fn remove_node(&mut self, name: &str) {
        let Some(index) = self.find(name) else { return };
        self.forget_images(index);
        let pods: Vec<_> = self.nodes[index].pods.iter().map(|pod| Arc::clone(&pod.view)).collect();
        for pod in pods {
            self.detach(name, &pod);
            self.orphans.entry(name.to_owned()).or_default().push(pod);
        }
        let node = self.nodes.remove(index);
        self.release_taints(node.taints);
        self.free_slots.push(self.marks.remove(index).slot);
    }

    fn new_mark(&mut self) -> Mark {
        self.versions += 1;
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        Mark { slot, version: self.versions }
    }

    /// The node is not as it was.
    fn touch(&mut self, index: usize) {
        self.versions += 1;
        self.marks[index].version = self.versions;
    }

    /// Adds a pod or replaces what is known of it. A pod that has ended, or is neither bound nor nominated, takes no room.
    pub fn upsert_pod(&mut self, view: impl Into<Arc<PodView>>) {
        let view = view.into();
        let key = view.key();
        self.forget(&key);
        if view.is_terminal() {
            return;
        }
        if let Some(node) = view.node.clone() {
            self.places.insert(key, Place::Bound(node.clone()));
            self.attach(view, &node);
        } else if let Some(node) = view.nominated_node.clone() {
            self.places.insert(key, Place::Nominated(node.clone()));
            self.nominate(view, node);
        }
    }

    /// Takes room for a pod on a node before the API confirms its binding; `upsert_pod` replaces it later.
    pub fn assume_pod(&mut self, view: impl Into<Arc<PodView>>, node: &str) {
        let view = view.into();
        let key = view.key();
        self.forget(&key);
        self.places.insert(key, Place::Bound(node.to_owned()));
        self.attach(view, node);
    }

    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        self.forget(&PodKey::new(namespace, name));
    }

    /// The pod's priority, from its class where admission did not resolve it.
    pub fn priority(&self, pod: &PodView) -> i32 {
        self.context.priority(pod)
    }

    fn forget(&mut self, key: &PodKey) {
        match self.places.remove(key) {
            None => {}
            Some(Place::Bound(node)) => {
                if let Some(index) = self.find(&node) {
                    self.detach_at(index, &key.namespace, &key.name);
                } else if let Some(orphans) = self.orphans.get_mut(&node) {
                    orphans.retain(|pod| pod.name != key.name || pod.namespace != key.namespace);
                    if orphans.is_empty() {
                        self.orphans.remove(&node);
                    }
                }
            }
            Some(Place::Nominated(node)) => {
                if let Some(pods) = self.nominated.get_mut(&node) {
                    pods.retain(|pod| pod.name != key.name || pod.namespace != key.namespace);
                    if pods.is_empty() {
                        self.nominated.remove(&node);
                    }
                }
            }
        }
    }

    fn attach(&mut self, view: Arc<PodView>, node: &str) {
        let Some(index) = self.find(node) else {
            self.orphans.entry(node.to_owned()).or_default().push(view);
            return;
        };
        self.take_claims(&view);
        let pod = self.acquire_class(view, None);
        if pod.view.deleting.is_none() {
            *self.live_mut(&pod, index) += 1;
        }
        self.nodes[index].attach(pod);
        self.touch(index);
    }

    fn detach(&mut self, node: &str, pod: &PodView) {
        let Some(index) = self.find(node) else { return };
        self.detach_at(index, &pod.namespace, &pod.name);
    }

    fn detach_at(&mut self, index: usize, namespace: &str, name: &str) {
        self.touch(index);
        let Some(pod) = self.nodes[index].detach(namespace, name) else { return };
        if pod.view.deleting.is_none() {
            *self.live_mut(&pod, index) -= 1;
        }
        self.release(&pod);
    }

    fn live_mut(&mut self, pod: &PodOnNode, index: usize) -> &mut u32 {
        let (class, slot) = (pod.class.0 as usize, self.marks[index].slot as usize);
        if self.live.len() <= class {
            self.live.resize_with(class + 1, Vec::new);
        }
        let slots = &mut self.live[class];
        if slots.len() <= slot {
            slots.resize(slot + 1 + slot / 4, 0);
        }
        &mut slots[slot]
    }

    /// The nodes with pods of a class that are not being deleted, and how many there are.
    pub(crate) fn live_by_node(&self, class: usize) -> impl Iterator<Item = (&NodeState, u32)> {
        let slots = self.live.get(class).map_or(&[][..], Vec::as_slice);
        let count = |mark: &Mark| slots.get(mark.slot as usize).copied().unwrap_or(0);
        let counts = self.marks.iter().map(count).zip(&self.nodes);
        counts.filter(|(count, _)| *count > 0).map(|(count, node)| (&**node, count))
    }

    fn release(&mut self, pod: &PodOnNode) {
        self.classes.release(pod.class, &pod.view);
        self.free_claims(&pod.view);
    }

    fn take_claims(&mut self, pod: &PodView) {
        for claim in pod.claims() {
            *self.claims_in_use.entry((pod.namespace.clone(), claim.to_owned())).or_default() += 1;
        }
    }

    fn free_claims(&mut self, pod: &PodView) {
        for claim in pod.claims() {
            let key = (pod.namespace.clone(), claim.to_owned());
            if let Some(count) = self.claims_in_use.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.claims_in_use.remove(&key);
                }
            }
        }
    }

    fn nominate(&mut self, view: Arc<PodView>, node: String) {
        let priority = self.context.priority(&view);
        let pods = self.nominated.entry(node).or_default();
        let at = pods.iter().position(|pod| self.context.priority(pod) < priority).unwrap_or(pods.len());
        pods.insert(at, view);
    }

    fn taints_id(&mut self, taints: &[Taint]) -> TaintsId {
        if let Some(id) = self.taint_ids.get(taints) {
            self.taint_uses[id.0 as usize] += 1;
            return *id;
        }
        self.taint_generation += 1;
        let id = if let Some(id) = self.free_taints.pop() {
            self.taint_lists[id.0 as usize] = taints.to_vec();
            self.taint_uses[id.0 as usize] = 1;
            id
        } else {
            self.taint_lists.push(taints.to_vec());
            self.taint_uses.push(1);
            TaintsId(u32::try_from(self.taint_lists.len() - 1).expect("fewer than 2³² taint lists"))
        };
        self.taint_ids.insert(taints.to_vec(), id);
        id
    }

    fn release_taints(&mut self, id: TaintsId) {
        let index = id.0 as usize;
        self.taint_uses[index] -= 1;
        if self.taint_uses[index] == 0 {
            self.taint_ids.remove(&std::mem::take(&mut self.taint_lists[index]));
            self.free_taints.push(id);
        }
    }

    fn count_images(&mut self, view: &NodeView) {
        let mut seen = std::collections::BTreeSet::new();
        for image in &view.images {
            for name in &image.names {
                let symbol = self.symbols.intern(name);
                if seen.insert(symbol) {
                    self.images.entry(symbol).or_insert(ImageState { bytes: image.bytes, nodes: 0 }).nodes += 1;
                }
            }
        }
    }

    fn forget_images(&mut self, index: usize) {
        for symbol in &self.nodes[index].images {
            if let Some(state) = self.images.get_mut(symbol) {
                state.nodes -= 1;
                if state.nodes == 0 {
                    self.images.remove(symbol);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduling::view::{ImageView, TaintEffect, VolumeSource, VolumeView};
    use units::Millicores;

    fn pod(name: &str, node: Option<&str>, cpu: i64) -> PodView {
        let mut view =
            PodView { namespace: "d".into(), name: name.into(), node: node.map(Into::into), ..PodView::default() };
        view.requests.cpu = Millicores(cpu);
        view
    }

    fn check(cluster: &Cluster, node: &str, cpu: i64, pods: usize) {
        let state = &cluster.nodes[cluster.find(node).expect("the node is known")];
        assert_eq!((state.requested.cpu, state.pods.len()), (cpu, pods));
        assert_eq!(state.classes.iter().map(|c| c.all as usize).sum::<usize>(), pods);
    }

    #[test]
    fn images_and_taints_are_counted_by_node_and_forgotten_with_the_last() {
        let mut cluster = Cluster::new();
        let image = || ImageView { names: vec!["web:1".into(), "web@sha256:1".into()], bytes: 10 };
        let taint = || Taint { key: "spot".into(), value: String::new(), effect: TaintEffect::NoSchedule };
        let nodes = |cluster: &Cluster| -> Vec<u32> { cluster.images.values().map(|state| state.nodes).collect() };
        for (name, counts) in [("a", [1, 1]), ("b", [2, 2]), ("c", [3, 3]), ("b", [3, 3])] {
            cluster.upsert_node(NodeView { images: vec![image()], taints: vec![taint()], ..NodeView::new(name) });
            assert_eq!(nodes(&cluster), counts, "with {name}");
        }
        assert_eq!(cluster.taint_ids.len(), 1);
        for (name, counts) in [("a", &[2, 2][..]), ("c", &[1, 1]), ("b", &[])] {
            assert_eq!(cluster.taint_ids.len(), 1, "before {name} goes");
            cluster.remove_node(name);
            assert_eq!(nodes(&cluster), counts, "without {name}");
        }
        assert!(cluster.taint_ids.is_empty());
    }

    #[test]
    fn a_claim_is_in_use_until_the_last_of_its_pods_is_gone() {
        let mut cluster = Cluster::new();
        cluster.upsert_node(NodeView::new("n0"));
        let source = VolumeSource::Claim { name: "data".into() };
        for name in ["a", "b", "c"] {
            let volumes = vec![VolumeView { name: "v".into(), source: source.clone() }];
            cluster.upsert_pod(PodView { volumes, ..pod(name, Some("n0"), 1) });
        }
        let claim = ("d".to_owned(), "data".to_owned());
        for (name, left) in [("a", Some(2)), ("b", Some(1)), ("c", None)] {
            cluster.remove_pod("d", name);
            assert_eq!(cluster.claims_in_use.get(&claim).copied(), left, "without {name}");
        }
    }

    #[test]
    fn sums_follow_every_change() {
        let mut cluster = Cluster::new();
        cluster.upsert_pod(pod("early", Some("a"), 100));
        cluster.upsert_node(NodeView::new("a"));
        check(&cluster, "a", 100, 1);
        cluster.upsert_pod(pod("early", Some("a"), 150));
        cluster.upsert_pod(pod("other", Some("a"), 50));
        check(&cluster, "a", 200, 2);
        cluster.upsert_node(NodeView { unschedulable: true, ..NodeView::new("a") });
        check(&cluster, "a", 200, 2);
        cluster.remove_node("a");
        assert_eq!(cluster.node_count(), 0);
        cluster.upsert_node(NodeView::new("a"));
        check(&cluster, "a", 200, 2);
        cluster.remove_pod("d", "other");
        cluster.upsert_pod(PodView {
            phase: crate::scheduling::view::PodPhase::Succeeded,
            ..pod("early", Some("a"), 150)
        });
        check(&cluster, "a", 0, 0);
        assert!(cluster.classes.matching(|_| true).iter().all(|taken| !taken), "classes are freed");
    }

    #[test]
    fn an_assumed_pod_is_replaced_by_the_bound_one() {
        let mut cluster = Cluster::new();
        cluster.upsert_node(NodeView::new("a"));
        cluster.upsert_node(NodeView::new("b"));
        cluster.assume_pod(pod("p", None, 100), "a");
        check(&cluster, "a", 100, 1);
        cluster.upsert_pod(pod("p", Some("b"), 100));
        check(&cluster, "a", 0, 0);
        check(&cluster, "b", 100, 1);
    }

    #[test]
    fn nominated_pods_are_kept_by_priority() {
        let mut cluster = Cluster::new();
        for (name, priority) in [("low", 1), ("high", 9), ("mid", 5)] {
            let mut view = pod(name, None, 1);
            view.nominated_node = Some("a".into());
            view.priority = Some(priority);
            cluster.upsert_pod(view);
        }
        let names: Vec<_> = cluster.nominated["a"].iter().map(|pod| pod.name.as_str()).collect();
        assert_eq!(names, ["high", "mid", "low"]);
        cluster.remove_pod("d", "mid");
        assert_eq!(cluster.nominated["a"].len(), 2);
    }
}
