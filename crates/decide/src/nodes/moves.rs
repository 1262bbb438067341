//! Moves of pods and nodes in thought, each with how it is taken back.

use std::rc::Rc;
use std::sync::Arc;

use super::hints::Hints;
use super::scale_down::DELETION_TAINT;
use super::template;
use super::world::World;
use crate::scheduling::view::{NodeView, PodKey, PodView, Taint, TaintEffect};
use crate::scheduling::{
    Cluster, Code, Filters, Lifted, Mark, NodeState, PodOnNode, ShapeId, first_fit, first_fit_among, fits,
};

/// How one change is taken back.
pub(super) enum Undo {
    /// A pod that waited for room there was put on its node.
    Assumed(Arc<PodView>),
    Taken {
        index: usize,
        pod: (usize, PodOnNode, u64),
    },
    Laid {
        index: usize,
        version: u64,
        /// Its class was acquired for that.
        fresh: bool,
    },
    Lifted {
        index: usize,
        lifted: Lifted,
    },
    Dropped {
        index: usize,
        node: (Box<NodeState>, Mark),
    },
    Added(String),
    /// A node was replaced.
    Changed(Arc<NodeView>),
}

/// A kind of pods and its filters.
type Local = (ShapeId, Rc<Filters>);

/// The places of the nodes that were not too full yet; `None`: nobody has looked.
pub(super) type Open = Option<Vec<usize>>;

impl World<'_> {
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
                Some(Undo::Assumed(pod)) => {
                    self.cluster.remove_pod(&pod.namespace, &pod.name);
                    self.cluster.upsert_pod(pod);
                }
                Some(Undo::Taken { index, pod }) => self.cluster.lower(index, pod),
                Some(Undo::Laid { index, version, fresh }) => {
                    if let Some(pod) = self.cluster.unlay(index, version).filter(|_| fresh) {
                        self.cluster.release_class(&pod);
                    }
                }
                Some(Undo::Lifted { index, lifted }) => self.cluster.lower_all(index, lifted),
                Some(Undo::Dropped { index, node }) => self.cluster.put_node_back(index, node),
                Some(Undo::Added(node)) => self.cluster.remove_node(&node),
                Some(Undo::Changed(node)) => self.cluster.upsert_node(node),
                None => {}
            }
        }
    }

    pub(super) fn assume(&mut self, pod: &Arc<PodView>, node: &str) {
        self.cluster.assume_pod(Arc::clone(pod), node);
        self.undo.push(Undo::Assumed(Arc::clone(pod)));
    }

    pub(super) fn take(&mut self, pod: &Arc<PodView>, node: &str) {
        let Some(index) = self.cluster.find(node) else { return };
        if let Some(pod) = self.cluster.lift(index, &pod.namespace, &pod.name) {
            self.undo.push(Undo::Taken { index, pod });
        }
    }

    pub(super) fn put(&mut self, pod: Arc<PodView>, node: &str) {
        if let Some(index) = self.cluster.find(node) {
            self.put_at(pod, index, None);
        }
    }

    pub(super) fn put_at(&mut self, pod: Arc<PodView>, index: usize, shape: Option<ShapeId>) {
        let pod = self.cluster.acquire_class(pod, shape);
        self.lay(index, pod, true);
    }

    fn lay(&mut self, index: usize, pod: PodOnNode, fresh: bool) {
        let version = self.cluster.lay(index, pod);
        self.undo.push(Undo::Laid { index, version, fresh });
    }

    pub(super) fn add_node(&mut self, node: NodeView) {
        self.undo.push(Undo::Added(node.name.clone()));
        self.cluster.upsert_node(node);
    }

    pub(super) fn change_node(&mut self, before: Arc<NodeView>, after: NodeView) {
        self.undo.push(Undo::Changed(before));
        self.cluster.upsert_node(after);
    }

    fn lift_all(&mut self, index: usize) -> Vec<PodOnNode> {
        let lifted = self.cluster.lift_all(index);
        let pods = lifted.pods().to_vec();
        self.undo.push(Undo::Lifted { index, lifted });
        pods
    }

    /// Takes a node and everything on it out of the cluster.
    pub(super) fn drop_node(&mut self, name: &str) {
        let Some(index) = self.cluster.find(name) else { return };
        self.lift_all(index);
        self.drop_empty(index);
    }

    fn drop_empty(&mut self, index: usize) {
        let node = self.cluster.drop_node(index);
        self.undo.push(Undo::Dropped { index, node });
    }

    /// The filters of pods like this one, where they are local.
    fn local(&mut self, pod: &Arc<PodView>, shape: Option<ShapeId>) -> Option<Local> {
        if !self.cluster.has_no_nominations() {
            return None;
        }
        let shape = shape.or_else(|| self.cluster.verdicts.shape(pod))?;
        let known = self.cluster.vocabulary();
        if let Some((filters, then)) = self.prepared.get(&shape)
            && *then == known
        {
            return filters.clone().map(|filters| (shape, filters));
        }
        let filters = Filters::prepare_to_move(self.cluster, pod).ok().filter(Filters::are_local).map(Rc::new);
        self.prepared.insert(shape, (filters.clone(), known));
        filters.map(|filters| (shape, filters))
    }

    /// Puts the pod on the first acceptable node where it fits; on the one where it was put in an earlier loop, if that
    /// still does. The answer is the node's place.
    pub(super) fn place(
        &mut self,
        pod: &Arc<PodView>,
        hints: Option<&mut Hints>,
        acceptable: impl Fn(&Cluster, usize) -> bool,
    ) -> Option<usize> {
        let local = self.local(pod, None);
        let shape = local.as_ref().map(|local| local.0);
        let index = self.seek(pod, local, hints, acceptable)?;
        self.put_at(Arc::clone(pod), index, shape);
        Some(index)
    }

    fn seek(
        &mut self,
        pod: &Arc<PodView>,
        local: Option<Local>,
        mut hints: Option<&mut Hints>,
        acceptable: impl Fn(&Cluster, usize) -> bool,
    ) -> Option<usize> {
        let hinted = hints.as_deref().and_then(|hints| hints.get(pod)).and_then(|(node, guess)| {
            self.cluster.find_near(node, guess).filter(|index| acceptable(self.cluster, *index))
        });
        let index = match hinted.filter(|index| self.fits(pod, local.as_ref(), *index)) {
            Some(index) => index,
            None => {
                let found = match &local {
                    Some(local) => self.first_open(pod, local, acceptable),
                    None => {
                        let unbound = template::unbound(pod);
                        first_fit(self.cluster, &unbound, self.rotation, |index| acceptable(self.cluster, index)).ok()
                    }
                };
                let index = found?;
                self.rotation = (index + 1) % self.cluster.node_count();
                index
            }
        };
        // A node that is only thought of has another name in every loop: nothing to remember.
        if let Some(hints) = hints.as_mut() {
            let name = self.cluster.nodes[index].name();
            if self.node(name).is_some() {
                hints.set(pod, name, index);
            }
        }
        Some(index)
    }

    /// Where a pod that waits for a node would be put.
    pub(super) fn place_for(&mut self, pod: &Arc<PodView>, hints: &mut Hints) -> Option<(usize, Option<ShapeId>)> {
        let local = self.local(pod, None);
        let shape = local.as_ref().map(|local| local.0);
        Some((self.seek(pod, local, Some(hints), |_, _| true)?, shape))
    }

    fn fits(&mut self, pod: &Arc<PodView>, local: Option<&Local>, index: usize) -> bool {
        match local {
            Some((shape, filters)) => self.cluster.verdict(*shape, pod, filters, index) == Code::FITS,
            None => {
                let name = self.cluster.nodes[index].name();
                fits(self.cluster, &template::unbound(pod), name).is_ok()
            }
        }
    }

    /// As [`first_fit`], by what is known of the nodes already.
    fn first_open(
        &mut self,
        pod: &Arc<PodView>,
        (shape, filters): &Local,
        acceptable: impl Fn(&Cluster, usize) -> bool,
    ) -> Option<usize> {
        if let Some(known) = &mut self.filling {
            let mut open = std::mem::take(known.entry(*shape).or_default());
            let found = self.first_of(&mut open, pod, (*shape, filters));
            if let Some(known) = &mut self.filling {
                known.insert(*shape, open);
            }
            return found;
        }
        let count = self.cluster.node_count();
        let start = if count == 0 { 0 } else { self.rotation % count };
        (start..count).chain(0..start).find(|index| {
            acceptable(self.cluster, *index) && self.cluster.verdict(*shape, pod, filters, *index) == Code::FITS
        })
    }

    /// While pods only come, a node that was too full for a pod stays so for those like it: only the others are looked at.
    fn first_of(
        &mut self,
        open: &mut Open,
        pod: &Arc<PodView>,
        (shape, filters): (ShapeId, &Filters),
    ) -> Option<usize> {
        let count = self.cluster.node_count();
        let nodes = open.get_or_insert_with(|| (0..count).collect());
        let from = nodes.partition_point(|index| *index < self.rotation % count.max(1));
        let fits = |at: &usize| self.cluster.verdict(shape, pod, filters, nodes[*at]) == Code::FITS;
        let found = (from..nodes.len()).chain(0..from).find(fits);
        let answer = found.map(|at| nodes[at]);
        // What was looked at before it has no room.
        match found {
            Some(at) if at >= from => drop(nodes.drain(from..at)),
            Some(at) => {
                nodes.truncate(from);
                nodes.drain(..at);
            }
            None => nodes.clear(),
        }
        answer
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
        index: usize,
        pods: &[Arc<PodView>],
        hints: &mut Hints,
        acceptable: impl Fn(&Cluster, usize) -> bool,
    ) -> Result<(), PodKey> {
        let mark = self.mark();
        let there = self.lift_all(index);
        let on_node = |pod: &Arc<PodView>| there.iter().find(|here| Arc::ptr_eq(&here.view, pod));
        let locals: Vec<Option<Local>> =
            pods.iter().map(|pod| self.local(pod, on_node(pod).and_then(|here| here.shape))).collect();
        if locals.iter().any(Option::is_none) {
            // While pods look for a place the node still counts as a domain of topology spreading, as it does in reality.
            let before = Arc::clone(&self.cluster.nodes[index].view);
            let mut after = NodeView::clone(&before);
            after.taints.push(Taint::new(DELETION_TAINT, "", TaintEffect::NoSchedule));
            self.change_node(before, after);
        }
        for (pod, local) in pods.iter().zip(locals) {
            let Some(place) =
                self.seek(pod, local, Some(&mut *hints), |cluster, at| at != index && acceptable(cluster, at))
            else {
                self.revert(mark);
                return Err(pod.key());
            };
            match on_node(pod) {
                Some(here) => self.lay(place, here.clone(), false),
                None => self.put_at(Arc::clone(pod), place, None),
            }
        }
        self.drop_empty(index);
        Ok(())
    }
}
