//! Moves in thought: the node autoscaler asks what would be if, and takes everything back.
//!
//! Whoever makes a move takes it back, the last one first, so that a node is found at the place where it was, with its pods
//! in the order in which they came. In between nobody asks where a single pod is: `Cluster::places` knows nothing of it.

use std::sync::Arc;

use super::node::Contents;
use super::{Cluster, Mark, NodeState, PodOnNode, ShapeId};
use crate::scheduling::view::PodView;

/// What was on a node, to be given back.
#[derive(Debug)]
pub(crate) struct Lifted {
    contents: Contents,
    version: u64,
}

impl Lifted {
    pub(crate) fn pods(&self) -> &[PodOnNode] {
        &self.contents.pods
    }
}

/// Differs where anything differs that filters look up before they see a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    symbols: usize,
    taints: u64,
    repelling: u64,
}

impl Cluster {
    /// Takes all pods off a node.
    pub(crate) fn lift_all(&mut self, index: usize) -> Lifted {
        let lifted = Lifted { contents: self.nodes[index].take_contents(), version: self.marks[index].version };
        self.count_claims(&lifted.contents.pods, false);
        self.touch(index);
        lifted
    }

    pub(crate) fn lower_all(&mut self, index: usize, lifted: Lifted) {
        self.count_claims(&lifted.contents.pods, true);
        self.nodes[index].put_contents(lifted.contents);
        self.marks[index].version = lifted.version;
    }

    /// Takes one pod off a node: where it was among the others, and what [`Cluster::lower`] needs to put it there again.
    pub(crate) fn lift(&mut self, index: usize, namespace: &str, name: &str) -> Option<(usize, PodOnNode, u64)> {
        let version = self.marks[index].version;
        let (at, pod) = self.nodes[index].detach_named(namespace, name)?;
        self.count_claims(std::slice::from_ref(&pod), false);
        self.touch(index);
        Some((at, pod, version))
    }

    pub(crate) fn lower(&mut self, index: usize, (at, pod, version): (usize, PodOnNode, u64)) {
        self.count_claims(std::slice::from_ref(&pod), true);
        self.nodes[index].attach_at(at, pod);
        self.marks[index].version = version;
    }

    /// Puts a pod on a node; its class is acquired already. The answer is for [`Cluster::unlay`].
    pub(crate) fn lay(&mut self, index: usize, pod: PodOnNode) -> u64 {
        let version = self.marks[index].version;
        self.count_claims(std::slice::from_ref(&pod), true);
        self.nodes[index].attach(pod);
        self.touch(index);
        version
    }

    /// Takes the last pod off a node again.
    pub(crate) fn unlay(&mut self, index: usize, version: u64) -> Option<PodOnNode> {
        let pod = self.nodes[index].detach_last()?;
        self.count_claims(std::slice::from_ref(&pod), false);
        self.marks[index].version = version;
        Some(pod)
    }

    /// The class of a pod that is to be laid somewhere; [`Cluster::release_class`] gives it back.
    pub(crate) fn acquire_class(&mut self, view: Arc<PodView>, shape: Option<ShapeId>) -> PodOnNode {
        let class = self.classes.acquire(&view);
        let shape = shape.or_else(|| self.verdicts.shape(&view));
        PodOnNode { view, class, shape }
    }

    pub(crate) fn release_class(&mut self, pod: &PodOnNode) {
        self.classes.release(pod.class, &pod.view);
    }

    /// Takes out a node without pods. It keeps its mark.
    pub(crate) fn drop_node(&mut self, index: usize) -> (Box<NodeState>, Mark) {
        (self.nodes.remove(index), self.marks.remove(index))
    }

    pub(crate) fn put_node_back(&mut self, index: usize, (node, mark): (Box<NodeState>, Mark)) {
        self.nodes.insert(index, node);
        self.marks.insert(index, mark);
    }

    pub(crate) fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            symbols: self.symbols.len(),
            taints: self.taint_generation,
            repelling: self.classes.repelling_generation(),
        }
    }

    pub(crate) fn has_no_nominations(&self) -> bool {
        self.nominated.is_empty()
    }

    /// A node that was at this place a short while ago.
    pub(crate) fn find_near(&self, name: &str, guess: usize) -> Option<usize> {
        let is_there = self.nodes.get(guess).is_some_and(|node| node.name() == name);
        if is_there { Some(guess) } else { self.find(name) }
    }

    fn count_claims(&mut self, pods: &[PodOnNode], come: bool) {
        for pod in pods.iter().filter(|pod| !pod.view.volumes.is_empty()) {
            if come { self.take_claims(&pod.view) } else { self.free_claims(&pod.view) }
        }
    }
}
