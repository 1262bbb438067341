//! What a new node of a group would be like.

use std::sync::Arc;

use super::model::{GroupView, Snapshot};
use crate::scheduling::Cluster;
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

/// Those that every daemon set's pods tolerate.
const TOLERATED_BY_DAEMONS: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// Adds a node as the group's template says, with the daemon pods that will run on it, and returns its pods' names so
/// that `remove` can take all of it back.
pub(super) fn add(cluster: &mut Cluster, snapshot: &Snapshot, group: &GroupView, name: &str) {
    let view = node(group, name);
    let daemons: Vec<PodView> = snapshot
        .daemon_sets
        .iter()
        .filter(|pod| runs_on(pod, &view))
        .map(|pod| PodView { name: format!("{}-{name}", pod.name), ..PodView::clone(pod) })
        .collect();
    cluster.upsert_node(view);
    for pod in daemons {
        cluster.assume_pod(pod, name);
    }
}

/// Takes a node and everything on it out of the cluster.
pub(super) fn remove(cluster: &mut Cluster, name: &str) {
    let pods: Vec<_> = cluster.pods_on(name).map(|pod| pod.key()).collect();
    for pod in pods {
        cluster.remove_pod(&pod.namespace, &pod.name);
    }
    cluster.remove_node(name);
}

pub(super) fn node(group: &GroupView, name: &str) -> NodeView {
    let mut view = NodeView::clone(&group.template);
    view.name = name.to_owned();
    view.labels.insert(HOSTNAME.to_owned(), name.to_owned());
    view.taints.retain(|taint| !PASSING_TAINTS.contains(&taint.key.as_str()) && !is_autoscalers(&taint.key));
    view.unschedulable = false;
    view.ready = true;
    view
}

pub(super) fn is_autoscalers(taint: &str) -> bool {
    taint == super::scale_down::DELETION_TAINT || taint == super::scale_down::CANDIDATE_TAINT
}

fn runs_on(pod: &PodView, node: &NodeView) -> bool {
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
