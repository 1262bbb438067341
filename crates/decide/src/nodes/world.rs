//! The cluster in which pods and nodes are moved in thought, and put back afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hints::{Hints, hint_key};
use super::model::{InstanceState, Memory, Snapshot};
use super::scale_down::DELETION_TAINT;
use super::template;
use crate::scheduling::view::{NodeView, PodKey, PodView, Taint, TaintEffect};
use crate::scheduling::{Cluster, first_fit, first_fit_among};

/// How one change is taken back.
enum Undo {
    /// A pod was put somewhere; the view that was known of it before, where it waited for room already.
    Put {
        key: PodKey,
        before: Option<Arc<PodView>>,
    },
    Taken {
        pod: Arc<PodView>,
        node: String,
    },
    Added(String),
    /// A node was removed or replaced.
    Changed(Arc<NodeView>),
}

pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) cluster: &'a mut Cluster,
    pub(super) nodes: BTreeMap<&'a str, &'a Arc<NodeView>>,
    /// By node or instance: the index of its group.
    groups: BTreeMap<&'a str, usize>,
    /// By group: its registered nodes.
    members: Vec<Vec<&'a Arc<NodeView>>>,
    /// By group: the size that the cloud is asked for, as this loop changes it on the way.
    pub(super) sizes: Vec<i32>,
    /// Nodes on their way out, which take no pods.
    pub(super) leaving: BTreeSet<&'a str>,
    /// Where the next search for a node starts, so that pods spread as in upstream's round-robin.
    rotation: usize,
    undo: Vec<Undo>,
}

impl<'a> World<'a> {
    /// `cluster` holds the snapshot's nodes and the pods bound to them; it is used as a scratch pad until [`World::end`].
    pub(super) fn new(snapshot: &'a Snapshot, memory: &Memory, cluster: &'a mut Cluster) -> World<'a> {
        let mut groups = BTreeMap::new();
        let mut leaving = BTreeSet::new();
        for (index, group) in snapshot.groups.iter().enumerate() {
            for instance in &group.instances {
                groups.insert(instance.name.as_str(), index);
                if instance.state == InstanceState::Deleting {
                    leaving.insert(instance.name.as_str());
                }
            }
        }
        let nodes: BTreeMap<_, _> = snapshot.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let mut members = vec![Vec::new(); snapshot.groups.len()];
        for (name, node) in &nodes {
            if let Some(group) = groups.get(name) {
                members[*group].push(*node);
            }
            if memory.deleting.contains_key(*name) || node.has_taint(DELETION_TAINT) {
                leaving.insert(name);
            }
        }
        let sizes = snapshot.groups.iter().map(|group| group.target_size).collect();
        let undo = Vec::new();
        let mut world = World { snapshot, cluster, nodes, groups, members, sizes, leaving, rotation: 0, undo };
        world.adapt();
        world
    }

    /// Shows the cluster as the autoscaler sees it: without pods of very low priority, with those for which room is
    /// being made, and with nodes that go marked as such.
    fn adapt(&mut self) {
        for name in self.leaving.clone() {
            let Some(node) = self.nodes.get(name).filter(|node| !node.has_taint(DELETION_TAINT)) else { continue };
            let mut tainted = NodeView::clone(node);
            tainted.taints.push(Taint::new(DELETION_TAINT, "", TaintEffect::NoSchedule));
            self.change_node(node, tainted);
        }
        for pod in &self.snapshot.pods {
            if is_expendable(pod) {
                if let Some(node) = pod.node.as_ref().filter(|_| !pod.is_terminal()) {
                    self.take(pod, node);
                }
            } else if let (None, Some(node), false) = (&pod.node, &pod.nominated_node, pod.is_terminal()) {
                self.cluster.assume_pod(Arc::clone(pod), node);
                self.undo.push(Undo::Put { key: pod.key(), before: Some(Arc::clone(pod)) });
            }
        }
    }

    /// Leaves the cluster as it was before.
    pub(super) fn end(mut self) {
        self.revert(0);
    }

    /// A point to which [`World::revert`] can go back.
    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    pub(super) fn revert(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Put { key, before }) => {
                    self.cluster.remove_pod(&key.namespace, &key.name);
                    if let Some(pod) = before {
                        self.cluster.upsert_pod(pod);
                    }
                }
                Some(Undo::Taken { pod, node }) => self.cluster.assume_pod(pod, &node),
                Some(Undo::Added(node)) => self.cluster.remove_node(&node),
                Some(Undo::Changed(node)) => self.cluster.upsert_node(node),
                None => {}
            }
        }
    }

    pub(super) fn group_of(&self, node: &str) -> Option<usize> {
        self.groups.get(node).copied()
    }

    /// The registered nodes of a group.
    pub(super) fn nodes_of(&self, group: usize) -> &[&'a Arc<NodeView>] {
        &self.members[group]
    }

    pub(super) fn put(&mut self, pod: Arc<PodView>, node: &str) {
        self.undo.push(Undo::Put { key: pod.key(), before: None });
        self.cluster.assume_pod(pod, node);
    }

    fn take(&mut self, pod: &Arc<PodView>, node: &str) {
        self.cluster.remove_pod(&pod.namespace, &pod.name);
        self.undo.push(Undo::Taken { pod: Arc::clone(pod), node: node.to_owned() });
    }

    pub(super) fn add_node(&mut self, node: NodeView) {
        self.undo.push(Undo::Added(node.name.clone()));
        self.cluster.upsert_node(node);
    }

    fn change_node(&mut self, before: &Arc<NodeView>, after: NodeView) {
        self.undo.push(Undo::Changed(Arc::clone(before)));
        self.cluster.upsert_node(after);
    }

    /// Takes a node and everything on it out of the cluster.
    pub(super) fn drop_node(&mut self, name: &str) {
        self.take_all(name);
        if let Some(node) = self.cluster.node(name).map(Arc::clone) {
            self.cluster.remove_node(name);
            self.undo.push(Undo::Changed(node));
        }
    }

    fn take_all(&mut self, name: &str) {
        let pods: Vec<_> = self.cluster.pods_on(name).map(Arc::clone).collect();
        for pod in pods {
            self.take(&pod, name);
        }
    }

    /// Puts the pod on the first acceptable node where it fits; on the one where it was put in an earlier loop, if that
    /// still does.
    pub(super) fn place(
        &mut self,
        pod: &Arc<PodView>,
        hints: Option<&mut Hints>,
        acceptable: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let unbound = template::unbound(pod);
        let key = hint_key(pod);
        let hinted = hints.as_ref().and_then(|hints| hints.get(&key)).map(str::to_owned);
        if let Some(node) = hinted
            && acceptable(&node)
            && crate::scheduling::fits(self.cluster, &unbound, &node).is_ok()
        {
            self.put(unbound, &node);
            self.hint(hints, key, &node);
            return Some(node);
        }
        let index = first_fit(self.cluster, &unbound, self.rotation, acceptable).ok()?;
        self.rotation = (index + 1) % self.cluster.node_count();
        let node = self.cluster.node_names().nth(index)?.to_owned();
        self.put(unbound, &node);
        self.hint(hints, key, &node);
        Some(node)
    }

    /// A node that is only thought of has another name in every loop: nothing to remember.
    fn hint(&self, hints: Option<&mut Hints>, key: String, node: &str) {
        if let Some(hints) = hints.filter(|_| self.nodes.contains_key(node)) {
            hints.set(key, node);
        }
    }

    /// Puts the pod on the first of these nodes where it fits; the answer is its index.
    pub(super) fn place_among(&mut self, pod: &Arc<PodView>, nodes: &[String], start: usize) -> Option<usize> {
        let unbound = template::unbound(pod);
        let index = first_fit_among(self.cluster, &unbound, nodes, start)?;
        self.put(unbound, &nodes[index]);
        Some(index)
    }

    /// Moves pods off a node that is to go, and the node with them; leaves everything as it was where one of them finds
    /// no place.
    ///
    /// # Errors
    /// With the pod that fits nowhere.
    pub(super) fn try_remove(
        &mut self,
        node: &str,
        pods: &[Arc<PodView>],
        hints: &mut Hints,
        acceptable: impl Fn(&str) -> bool,
    ) -> Result<(), PodKey> {
        let mark = self.mark();
        self.take_all(node);
        // While pods look for a place the node still counts as a domain of topology spreading, as it does in reality.
        if let Some(view) = self.cluster.node(node).map(Arc::clone) {
            let mut ghost = NodeView::clone(&view);
            ghost.taints.push(Taint::new(DELETION_TAINT, "", TaintEffect::NoSchedule));
            self.change_node(&view, ghost);
        }
        for pod in pods {
            if self.place(pod, Some(&mut *hints), |name| name != node && acceptable(name)).is_none() {
                self.revert(mark);
                return Err(pod.key());
            }
        }
        self.drop_node(node);
        Ok(())
    }
}

/// Pods of very low priority neither cause nodes nor keep them (`--expendable-pods-priority-cutoff`).
pub(super) fn is_expendable(pod: &PodView) -> bool {
    const CUTOFF: i32 = -10;
    pod.priority.is_some_and(|priority| priority < CUTOFF)
}

/// A cluster that holds what the snapshot says.
pub(super) fn cluster_of(snapshot: &Snapshot) -> Cluster {
    let mut cluster = Cluster::new();
    let around = &snapshot.surroundings;
    cluster.set_services(around.services.iter().cloned());
    cluster.set_owners(around.owners.iter().cloned());
    cluster.set_priority_classes(around.priority_classes.iter().cloned());
    cluster.set_namespaces(around.namespaces.iter().cloned());
    cluster.set_claims(around.claims.iter().cloned());
    cluster.set_volumes(around.volumes.iter().cloned());
    cluster.set_storage_classes(around.storage_classes.iter().cloned());
    cluster.set_csi_nodes(around.csi_nodes.iter().cloned());
    cluster.set_budgets(snapshot.budgets.iter().cloned());
    for node in &snapshot.nodes {
        cluster.upsert_node(Arc::clone(node));
    }
    for pod in snapshot.pods.iter().filter(|pod| pod.node.is_some()) {
        cluster.upsert_pod(Arc::clone(pod));
    }
    cluster
}
