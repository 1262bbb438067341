//! The filters of the default profile of Kubernetes 1.36: which nodes a pod may run on at all.

mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::cluster::{Cluster, NodeState, PodClass};
use super::view::PodView;

pub(crate) use inter_pod_affinity::term_matches;
pub(crate) use node_affinity::NodeMatcher;
pub(crate) use pod_topology_spread::{Constraint, Places};

/// Why a node or a whole attempt was rejected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rejection {
    pub(crate) filter: &'static str,
    /// Upstream's wording. Most rejections have one reason, which costs no allocation.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) more: Vec<Cow<'static, str>>,
    /// Removing pods from the node could help (`Unschedulable`, not `UnschedulableAndUnresolvable`).
    pub(crate) resolvable: bool,
}

impl Rejection {
    fn resolvable(filter: &'static str, reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { filter, reason: reason.into(), more: Vec::new(), resolvable: true }
    }

    fn final_(filter: &'static str, reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { filter, reason: reason.into(), more: Vec::new(), resolvable: false }
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.reason).chain(&self.more).map(AsRef::as_ref)
    }

    pub(crate) fn message(&self) -> String {
        self.reasons().collect::<Vec<_>>().join(", ")
    }
}

pub(crate) type Verdict = Result<(), Rejection>;

/// What one filter knows during one attempt. `clone_box`, `add` and `remove` serve preemption and nominated pods, which
/// ask what would be if pods came or went.
pub(crate) trait Filter {
    fn check(&self, pod: &PodView, node: &NodeState) -> Verdict;
    fn add(&mut self, _pod: &PodView, _class: &PodClass, _node: &NodeState) {}
    fn remove(&mut self, _pod: &PodView, _class: &PodClass, _node: &NodeState) {}
    fn clone_box(&self) -> Box<dyn Filter>;
    /// Whether the verdict on a node depends on nothing but the pod's spec and that node.
    fn is_local(&self) -> bool {
        false
    }
}

impl Clone for Box<dyn Filter> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}

/// What a filter says before it sees any node: it has nothing to say on this pod, it has prepared itself, or no node
/// will do at all.
pub(crate) enum Prepared {
    Skip,
    Ready(Box<dyn Filter>),
    /// Only these nodes can pass.
    Only(BTreeSet<String>, Box<dyn Filter>),
    Reject(Rejection),
}

type Prepare = fn(&Cluster, &PodView) -> Prepared;

/// In upstream's order: the first filter that rejects a node names the reason.
const FILTERS: [(&str, Prepare); 12] = [
    (node_unschedulable::NAME, node_unschedulable::prepare),
    (node_name::NAME, node_name::prepare),
    (taint_toleration::NAME, taint_toleration::prepare),
    (node_affinity::NAME, node_affinity::prepare),
    (node_ports::NAME, node_ports::prepare),
    (node_resources_fit::NAME, node_resources_fit::prepare),
    (volume_restrictions::NAME, volume_restrictions::prepare),
    (node_volume_limits::NAME, node_volume_limits::prepare),
    (volume_binding::NAME, volume_binding::prepare),
    (volume_zone::NAME, volume_zone::prepare),
    (pod_topology_spread::NAME, pod_topology_spread::prepare),
    (inter_pod_affinity::NAME, inter_pod_affinity::prepare),
];

/// All filters, prepared for one pod.
#[derive(Clone, Default)]
pub(crate) struct Filters {
    active: Vec<Box<dyn Filter>>,
    /// Restriction to certain nodes, and the filters that made it.
    pub(crate) only: Option<BTreeSet<String>>,
    pub(crate) only_by: Vec<&'static str>,
}

impl Filters {
    /// As `RunPreFilterPlugins`: a rejection that pods leaving could lift lets the later filters still have their say.
    ///
    /// # Errors
    /// When no node at all will do.
    pub(crate) fn prepare(cluster: &Cluster, pod: &PodView) -> Result<Filters, Rejection> {
        Filters::prepare_all(cluster, pod, &FILTERS)
    }

    /// The same for a pod that may be bound and looks for another place.
    ///
    /// # Errors
    /// When no node at all will do.
    pub(crate) fn prepare_to_move(cluster: &Cluster, pod: &PodView) -> Result<Filters, Rejection> {
        let others = FILTERS.map(|(name, prepare)| {
            let skip: Prepare = |_, _| Prepared::Skip;
            (name, if name == node_name::NAME { skip } else { prepare })
        });
        Filters::prepare_all(cluster, pod, &others)
    }

    fn prepare_all(cluster: &Cluster, pod: &PodView, all: &[(&'static str, Prepare)]) -> Result<Filters, Rejection> {
        let mut filters = Filters::default();
        let mut deferred = None;
        for (name, prepare) in all {
            match prepare(cluster, pod) {
                Prepared::Skip => {}
                Prepared::Ready(filter) => filters.active.push(filter),
                Prepared::Only(nodes, filter) => {
                    filters.active.push(filter);
                    filters.restrict(name, nodes)?;
                }
                Prepared::Reject(rejection) if rejection.resolvable => deferred = Some(rejection),
                Prepared::Reject(rejection) => return Err(rejection),
            }
        }
        deferred.map_or(Ok(filters), Err)
    }

    fn restrict(&mut self, name: &'static str, nodes: BTreeSet<String>) -> Result<(), Rejection> {
        self.only_by.push(name);
        let merged = match &self.only {
            Some(known) => known.intersection(&nodes).cloned().collect(),
            None => nodes,
        };
        if merged.is_empty() {
            let message = if self.only_by.len() == 1 {
                format!("node(s) didn't satisfy plugin {}", self.only_by[0])
            } else {
                self.only_by.sort_unstable();
                format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", self.only_by.join(" "))
            };
            return Err(Rejection::final_("", message));
        }
        self.only = Some(merged);
        Ok(())
    }

    /// The place of a filter in the list.
    pub(crate) fn index(name: &str) -> usize {
        FILTERS.iter().position(|(filter, _)| *filter == name).unwrap_or(FILTERS.len())
    }

    pub(crate) fn name(index: usize) -> &'static str {
        FILTERS.get(index).map_or("", |(name, _)| name)
    }

    /// Whether all of them are, and any node may pass.
    pub(crate) fn are_local(&self) -> bool {
        self.only.is_none() && self.active.iter().all(|filter| filter.is_local())
    }

    pub(crate) fn check(&self, pod: &PodView, node: &NodeState) -> Verdict {
        self.active.iter().try_for_each(|filter| filter.check(pod, node))
    }

    pub(crate) fn add(&mut self, pod: &PodView, class: &PodClass, node: &NodeState) {
        self.active.iter_mut().for_each(|filter| filter.add(pod, class, node));
    }

    pub(crate) fn remove(&mut self, pod: &PodView, class: &PodClass, node: &NodeState) {
        self.active.iter_mut().for_each(|filter| filter.remove(pod, class, node));
    }
}

#[cfg(test)]
mod tests;
