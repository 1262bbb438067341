//! A node with the pods on it, kept as sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classes::ClassId;
use super::symbols::{Symbol, Symbols};
use super::verdicts::ShapeId;
use crate::scheduling::view::{HostPort, NodeView, PodView};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral_storage: i64,
}

/// How many pods of one class are on the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassCount {
    pub(crate) class: ClassId,
    pub(crate) all: u32,
    /// Without those that are being deleted, which topology spreading does not count.
    pub(crate) live: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaintsId(pub(crate) u32);

#[derive(Clone, Debug)]
pub(crate) struct PodOnNode {
    pub(crate) view: Arc<PodView>,
    pub(crate) class: ClassId,
    pub(crate) shape: Option<ShapeId>,
}

#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) view: Arc<NodeView>,
    /// Sorted by key.
    pub(crate) labels: Vec<(Symbol, Symbol)>,
    pub(crate) taints: TaintsId,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Amounts,
    pub(crate) requested: Amounts,
    pub(crate) nonzero_cpu: i64,
    pub(crate) nonzero_memory: i64,
    pub(crate) requested_scalar: BTreeMap<String, i64>,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) classes: Vec<ClassCount>,
    pub(crate) images: Vec<Symbol>,
    pub(crate) pods: Vec<PodOnNode>,
}

/// What the pods on a node make of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    requested: Amounts,
    nonzero_cpu: i64,
    nonzero_memory: i64,
    requested_scalar: BTreeMap<String, i64>,
    ports: Vec<HostPort>,
    classes: Vec<ClassCount>,
    pub(super) pods: Vec<PodOnNode>,
}

impl NodeState {
    pub(super) fn take_contents(&mut self) -> Contents {
        self.swap_contents(Contents::default())
    }

    pub(super) fn put_contents(&mut self, contents: Contents) {
        self.swap_contents(contents);
    }

    fn swap_contents(&mut self, new: Contents) -> Contents {
        use std::mem::replace;
        Contents {
            requested: replace(&mut self.requested, new.requested),
            nonzero_cpu: replace(&mut self.nonzero_cpu, new.nonzero_cpu),
            nonzero_memory: replace(&mut self.nonzero_memory, new.nonzero_memory),
            requested_scalar: replace(&mut self.requested_scalar, new.requested_scalar),
            ports: replace(&mut self.ports, new.ports),
            classes: replace(&mut self.classes, new.classes),
            pods: replace(&mut self.pods, new.pods),
        }
    }

    pub(super) fn new(view: Arc<NodeView>, taints: TaintsId, symbols: &mut Symbols) -> NodeState {
        let mut labels: Vec<_> =
            view.labels.iter().map(|(key, value)| (symbols.intern(key), symbols.intern(value))).collect();
        labels.sort_unstable();
        let mut images: Vec<_> =
            view.images.iter().flat_map(|image| &image.names).map(|name| symbols.intern(name)).collect();
        images.sort_unstable();
        images.dedup();
        NodeState {
            labels,
            taints,
            unschedulable: view.unschedulable,
            allocatable: Amounts {
                cpu: view.allocatable.cpu.0,
                memory: view.allocatable.memory.0,
                ephemeral_storage: view.allocatable.ephemeral_storage.0,
            },
            requested: Amounts::default(),
            nonzero_cpu: 0,
            nonzero_memory: 0,
            requested_scalar: BTreeMap::new(),
            ports: Vec::new(),
            classes: Vec::new(),
            images,
            pods: Vec::new(),
            view,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.view.name
    }

    pub(crate) fn label(&self, key: Symbol) -> Option<Symbol> {
        let at = self.labels.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.labels[at].1)
    }

    pub(crate) fn attach(&mut self, pod: PodOnNode) {
        self.account(&pod.view, 1);
        self.take_ports(&pod.view);
        let live = u32::from(pod.view.deleting.is_none());
        match self.classes.iter_mut().find(|count| count.class == pod.class) {
            Some(count) => {
                count.all += 1;
                count.live += live;
            }
            None => self.classes.push(ClassCount { class: pod.class, all: 1, live }),
        }
        self.pods.push(pod);
    }

    /// Counts a pod that may come, for a copy of the node that only filters look at: its class is left out, because they
    /// learn of it through `Filter::add`.
    pub(crate) fn suppose(&mut self, view: &Arc<PodView>) {
        self.account(view, 1);
        self.take_ports(view);
        self.pods.push(PodOnNode { view: Arc::clone(view), class: ClassId(u32::MAX), shape: None });
    }

    /// Takes the pod of this name off, where it is here.
    pub(crate) fn detach(&mut self, namespace: &str, name: &str) -> Option<PodOnNode> {
        Some(self.detach_named(namespace, name)?.1)
    }

    /// The same, with the place that it had among the pods.
    pub(super) fn detach_named(&mut self, namespace: &str, name: &str) -> Option<(usize, PodOnNode)> {
        let at = self.pods.iter().position(|pod| pod.view.name == name && pod.view.namespace == namespace)?;
        Some((at, self.take_pod(at)))
    }

    pub(super) fn attach_at(&mut self, at: usize, pod: PodOnNode) {
        self.attach(pod);
        if let Some(last) = self.pods.pop() {
            self.pods.insert(at, last);
        }
    }

    /// The pod that came last.
    pub(super) fn detach_last(&mut self) -> Option<PodOnNode> {
        Some(self.take_pod(self.pods.len().checked_sub(1)?))
    }

    fn take_pod(&mut self, at: usize) -> PodOnNode {
        let pod = self.pods.remove(at);
        self.account(&pod.view, -1);
        self.ports.retain(|used| !pod.view.host_ports.iter().any(|port| is_same(used, port)));
        if let Some(at) = self.classes.iter().position(|count| count.class == pod.class) {
            let count = &mut self.classes[at];
            count.all -= 1;
            count.live -= u32::from(pod.view.deleting.is_none());
            if count.all == 0 {
                self.classes.swap_remove(at);
            }
        }
        pod
    }

    /// A set, as upstream's `HostPortInfo`: where two pods hold one port, it is free once the first of them is gone.
    fn take_ports(&mut self, pod: &PodView) {
        for port in &pod.host_ports {
            if !self.ports.iter().any(|used| is_same(used, port)) {
                self.ports.push(port.clone());
            }
        }
    }

    fn account(&mut self, pod: &PodView, sign: i64) {
        // Wraps as Go's integers do: what came and goes again then leaves exactly what was there before.
        let change = |sum: &mut i64, amount: i64| *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        change(&mut self.requested.cpu, pod.requests.cpu.0);
        change(&mut self.requested.memory, pod.requests.memory.0);
        change(&mut self.requested.ephemeral_storage, pod.requests.ephemeral_storage.0);
        change(&mut self.nonzero_cpu, pod.nonzero_cpu.0);
        change(&mut self.nonzero_memory, pod.nonzero_memory.0);
        for (name, amount) in &pod.requests.scalar {
            change(self.requested_scalar.entry(name.clone()).or_default(), *amount);
        }
    }
}

fn is_same(a: &HostPort, b: &HostPort) -> bool {
    let address = |port: &HostPort| if port.address.is_empty() { "0.0.0.0".to_owned() } else { port.address.clone() };
    a.port == b.port && a.protocol == b.protocol && address(a) == address(b)
}
