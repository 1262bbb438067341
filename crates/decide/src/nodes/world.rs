//! The snapshot as a cluster in which pods can be moved in thought.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{InstanceState, Memory, Snapshot};
use super::scale_down::DELETION_TAINT;
use super::template;
use crate::scheduling::view::{NodeView, PodKey, PodView, Taint, TaintEffect};
use crate::scheduling::{Cluster, first_fit};

pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) cluster: Cluster,
    /// By node or instance: the index of its group.
    groups: BTreeMap<&'a str, usize>,
    pub(super) nodes: BTreeMap<&'a str, &'a Arc<NodeView>>,
    /// Nodes on their way out, which take no pods.
    pub(super) leaving: BTreeSet<&'a str>,
    /// Where the next search for a node starts, so that pods spread as in upstream's round-robin.
    rotation: usize,
}

impl<'a> World<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, memory: &Memory) -> World<'a> {
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
        let gone = |name: &str| memory.deleting.contains_key(name);
        leaving
            .extend(nodes.iter().filter(|(name, n)| gone(name) || n.has_taint(DELETION_TAINT)).map(|(name, _)| *name));
        let mut world = World { snapshot, cluster: Cluster::new(), groups, nodes, leaving, rotation: 0 };
        world.fill();
        world
    }

    fn fill(&mut self) {
        let around = &self.snapshot.surroundings;
        self.cluster.set_services(around.services.iter().cloned());
        self.cluster.set_owners(around.owners.iter().cloned());
        self.cluster.set_priority_classes(around.priority_classes.iter().cloned());
        self.cluster.set_namespaces(around.namespaces.iter().cloned());
        self.cluster.set_claims(around.claims.iter().cloned());
        self.cluster.set_volumes(around.volumes.iter().cloned());
        self.cluster.set_storage_classes(around.storage_classes.iter().cloned());
        self.cluster.set_csi_nodes(around.csi_nodes.iter().cloned());
        self.cluster.set_budgets(self.snapshot.budgets.iter().cloned());
        for node in &self.snapshot.nodes {
            if self.leaving.contains(node.name.as_str()) && !node.has_taint(DELETION_TAINT) {
                let mut tainted = NodeView::clone(node);
                tainted.taints.push(Taint::new(DELETION_TAINT, "", TaintEffect::NoSchedule));
                self.cluster.upsert_node(tainted);
            } else {
                self.cluster.upsert_node(Arc::clone(node));
            }
        }
        for pod in self.snapshot.pods.iter().filter(|pod| !pod.is_terminal() && !is_expendable(pod)) {
            // A pod for which room is being made counts as if it were there already.
            if let Some(node) = pod.node.as_ref().or(pod.nominated_node.as_ref()) {
                self.cluster.assume_pod(Arc::clone(pod), node);
            }
        }
    }

    pub(super) fn group_of(&self, node: &str) -> Option<usize> {
        self.groups.get(node).copied()
    }

    /// The registered nodes of a group.
    pub(super) fn nodes_of(&self, group: usize) -> impl Iterator<Item = &'a Arc<NodeView>> + '_ {
        self.nodes.values().copied().filter(move |node| self.group_of(&node.name) == Some(group))
    }

    /// Puts the pod on the first acceptable node where it fits.
    pub(super) fn place(&mut self, pod: &Arc<PodView>, acceptable: impl Fn(&str) -> bool) -> Option<String> {
        let unbound = template::unbound(pod);
        let index = first_fit(&self.cluster, &unbound, self.rotation, acceptable).ok()?;
        self.rotation = (index + 1) % self.cluster.node_count();
        let node = self.cluster.node_names().nth(index)?.to_owned();
        self.cluster.assume_pod(unbound, &node);
        Some(node)
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
        acceptable: impl Fn(&str) -> bool,
    ) -> Result<(), PodKey> {
        for pod in pods {
            self.cluster.remove_pod(&pod.namespace, &pod.name);
        }
        for pod in pods {
            if self.place(pod, |name| name != node && acceptable(name)).is_some() {
                continue;
            }
            for pod in pods {
                self.cluster.assume_pod(Arc::clone(pod), node);
            }
            return Err(pod.key());
        }
        template::remove(&mut self.cluster, node);
        Ok(())
    }
}

/// Pods of very low priority neither cause nodes nor keep them (`--expendable-pods-priority-cutoff`).
pub(super) fn is_expendable(pod: &PodView) -> bool {
    const CUTOFF: i32 = -10;
    pod.priority.is_some_and(|priority| priority < CUTOFF)
}
