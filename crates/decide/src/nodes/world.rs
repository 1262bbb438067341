//! The cluster in which pods and nodes are moved in thought, and put back afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::model::{InstanceState, Memory, Snapshot};
use super::moves::{Open, Undo};
use super::scale_down::DELETION_TAINT;
use crate::scheduling::view::{NodeView, PodView, Taint, TaintEffect};
use crate::scheduling::{Cluster, Filters, ShapeId, Vocabulary};

/// The filters of a kind of pods, where they are local, and the cluster's vocabulary at that time.
pub(super) type Prepared = (Option<Rc<Filters>>, Vocabulary);

pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) cluster: &'a mut Cluster,
    /// Registered nodes with their groups, in the order of their names.
    pub(super) nodes: Vec<(&'a Arc<NodeView>, Option<usize>)>,
    /// By group: its registered nodes.
    members: Vec<Vec<&'a Arc<NodeView>>>,
    /// By group: the size that the cloud is asked for, as this loop changes it on the way.
    pub(super) sizes: Vec<i32>,
    /// Nodes on their way out, which take no pods.
    pub(super) leaving: BTreeSet<&'a str>,
    /// Instances that are not nodes, and not on their way out, in the order of their names.
    pub(super) unregistered: Vec<&'a str>,
    /// Where the next search for a node starts, so that pods spread as in upstream's round-robin.
    pub(super) rotation: usize,
    pub(super) undo: Vec<Undo>,
    /// While pods are only added: by shape, the nodes that may have room.
    pub(super) filling: Option<BTreeMap<ShapeId, Open>>,
    pub(super) prepared: BTreeMap<ShapeId, Prepared>,
}

impl<'a> World<'a> {
    /// `cluster` holds the snapshot's nodes and the pods bound to them; it is used as a scratch pad until [`World::end`].
    pub(super) fn new(snapshot: &'a Snapshot, memory: &Memory, cluster: &'a mut Cluster) -> World<'a> {
        let mut leaving = BTreeSet::new();
        let mut instances = Vec::new();
        for (index, group) in snapshot.groups.iter().enumerate() {
            instances.extend(group.instances.iter().map(|instance| (instance, index)));
        }
        // The last group that names an instance has it.
        instances.sort_by(|a, b| (a.0.name.as_str(), a.1).cmp(&(b.0.name.as_str(), b.1)));
        let mut views: Vec<&Arc<NodeView>> = snapshot.nodes.iter().collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        let mut members = vec![Vec::new(); snapshot.groups.len()];
        let (mut nodes, mut unregistered) = (Vec::with_capacity(views.len()), Vec::new());
        let mut rest = instances.iter().peekable();
        let mut note = |instance: &'a super::InstanceView, registered: bool, leaving: &mut BTreeSet<&'a str>| {
            if instance.state == InstanceState::Deleting {
                leaving.insert(instance.name.as_str());
            } else if !registered && instance.error.is_none() {
                unregistered.push(instance.name.as_str());
            }
        };
        for view in views {
            let mut group = None;
            while let Some((instance, index)) = rest.next_if(|(instance, _)| instance.name <= view.name) {
                let registered = instance.name == view.name;
                note(instance, registered, &mut leaving);
                if registered {
                    group = Some(*index);
                }
            }
            if let Some(group) = group {
                members[group].push(view);
            }
            if memory.deleting.contains_key(&view.name) || view.has_taint(DELETION_TAINT) {
                leaving.insert(view.name.as_str());
            }
            nodes.push((view, group));
        }
        for (instance, _) in rest {
            note(instance, false, &mut leaving);
        }
        let sizes = snapshot.groups.iter().map(|group| group.target_size).collect();
        let mut world = World {
            snapshot,
            cluster,
            nodes,
            members,
            sizes,
            leaving,
            unregistered,
            rotation: 0,
            undo: Vec::new(),
            filling: None,
            prepared: BTreeMap::new(),
        };
        world.adapt();
        world
    }

    /// Shows the cluster as the autoscaler sees it: without pods of very low priority, with those for which room is
    /// being made, and with nodes that go marked as such.
    fn adapt(&mut self) {
        for name in self.leaving.clone() {
            let Some(node) = self.node(name).filter(|node| !node.has_taint(DELETION_TAINT)) else { continue };
            let mut tainted = NodeView::clone(node);
            tainted.taints.push(Taint::new(DELETION_TAINT, "", TaintEffect::NoSchedule));
            let before = Arc::clone(node);
            self.change_node(before, tainted);
        }
        for pod in &self.snapshot.pods {
            if is_expendable(pod) {
                if let Some(node) = pod.node.as_ref().filter(|_| !pod.is_terminal()) {
                    self.take(pod, node);
                }
            } else if let (None, Some(node), false) = (&pod.node, &pod.nominated_node, pod.is_terminal()) {
                self.assume(pod, node);
            }
        }
    }

    /// A registered node.
    pub(super) fn node(&self, name: &str) -> Option<&'a Arc<NodeView>> {
        let at = self.nodes.binary_search_by(|(node, _)| node.name.as_str().cmp(name)).ok()?;
        Some(self.nodes[at].0)
    }

    /// The registered nodes of a group.
    pub(super) fn nodes_of(&self, group: usize) -> &[&'a Arc<NodeView>] {
        &self.members[group]
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
