//! What a new node of a group would be like.

use std::sync::Arc;

use super::model::GroupView;
use super::world::World;
use crate::scheduling::view::{NodeView, PodView, TaintEffect};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// Taints that say how a node fares and not what it is for; a new node will not have them.
const PASSING_TAINTS: [&str; 9] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cloudprovider.kubernetes.io/shutdown",
];

/// Taints with these prefixes pass too (`utils/taints`).
const PASSING_PREFIXES: [&str; 3] = [
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "status-taint.cluster-autoscaler.kubernetes.io/",
];

/// Those that every daemon set's pods tolerate.
const TOLERATED_BY_DAEMONS: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// Adds a node as the group's template says, with the daemon pods that will run on it and the static pods that run on a
/// node of the group already.
pub(super) fn add(world: &mut World<'_>, index: usize, name: &str) {
    let view = node(&world.snapshot.groups[index], name);
    let mut pods: Vec<PodView> =
        world.snapshot.daemon_sets.iter().filter(|pod| runs_on(pod, &view)).map(|pod| named(pod, name)).collect();
    pods.extend(static_pods(world, index).iter().map(|pod| named(pod, name)));
    world.add_node(view);
    for pod in pods {
        world.put(Arc::new(pod), name);
    }
}

fn named(pod: &PodView, node: &str) -> PodView {
    PodView { name: format!("{}-{node}", pod.name), node: None, ..pod.clone() }
}

/// Upstream takes the first good node of a group as its template, and leaves the mirror pods on it.
fn static_pods(world: &World<'_>, index: usize) -> Vec<Arc<PodView>> {
    let good =
        |node: &&&Arc<NodeView>| node.ready && !node.unschedulable && !world.leaving.contains(node.name.as_str());
    let Some(example) = world.nodes_of(index).iter().find(good) else { return Vec::new() };
    world.cluster.pods_on(&example.name).filter(|pod| pod.is_mirror()).map(Arc::clone).collect()
}

pub(super) fn node(group: &GroupView, name: &str) -> NodeView {
    let mut view = NodeView::clone(&group.template);
    view.name = name.to_owned();
    view.labels.insert(HOSTNAME.to_owned(), name.to_owned());
    view.taints.retain(|taint| !is_passing(&taint.key));
    view.unschedulable = false;
    view.ready = true;
    view
}

fn is_passing(taint: &str) -> bool {
    PASSING_TAINTS.contains(&taint)
        || PASSING_PREFIXES.iter().any(|prefix| taint.starts_with(prefix))
        || taint == super::scale_down::DELETION_TAINT
        || taint == super::scale_down::CANDIDATE_TAINT
}

pub(super) fn runs_on(pod: &PodView, node: &NodeView) -> bool {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let required = pod.node_affinity.as_ref();
    selected
        && required.is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)))
        && node.taints.iter().all(|taint| {
            taint.effect == TaintEffect::PreferNoSchedule
                || TOLERATED_BY_DAEMONS.contains(&taint.key.as_str())
                || pod.tolerates(taint)
        })
}

/// A copy of a pod that is not anywhere yet, to be placed in thought.
pub(super) fn unbound(pod: &Arc<PodView>) -> Arc<PodView> {
    if pod.node.is_none() && pod.nominated_node.is_none() {
        return Arc::clone(pod);
    }
    Arc::new(PodView { node: None, nominated_node: None, ..PodView::clone(pod) })
}
