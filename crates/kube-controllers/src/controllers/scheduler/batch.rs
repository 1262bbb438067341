//! Several pods decided one after the other on one cluster: live on the cluster that is kept current, and again from the
//! journal on a cluster that is built from the snapshot.

use std::sync::Arc;

use decide::nodes::Surroundings;
use decide::scheduling::view::BudgetView;
use decide::scheduling::{Cluster, NodeView, Outcome, Placement, PodView, Profile, TieBreak, schedule};
use serde::{Deserialize, Serialize};

use crate::surroundings;

/// All that a batch of decisions depends on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub nodes: Vec<Arc<NodeView>>,
    /// Bound, assumed and nominated ones.
    pub pods: Vec<Arc<PodView>>,
    pub surroundings: Surroundings,
    pub budgets: Vec<BudgetView>,
    /// The pods to decide on, in their order.
    pub pending: Vec<Arc<PodView>>,
}

/// Decides on each pod, and gives it its place in the cluster before the next one.
pub(crate) fn decide(
    cluster: &mut Cluster,
    pending: &[Arc<PodView>],
    profile: &Profile,
    tie: &mut TieBreak,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(pending.len());
    for pod in pending {
        let outcome = schedule(cluster, pod, profile, tie);
        match &outcome.placement {
            Placement::Bound { node, .. } => cluster.assume_pod(pod.clone(), node),
            Placement::Unschedulable { preemption: Some(preemption), .. } => {
                cluster.upsert_pod(PodView { nominated_node: Some(preemption.node.clone()), ..(**pod).clone() });
            }
            Placement::Unschedulable { .. } | Placement::Gated { .. } => {}
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// The same decisions from the journal.
pub(crate) fn repeat(profile: &Profile, snapshot: &Snapshot, tie: &mut TieBreak) -> Vec<Outcome> {
    let mut cluster = Cluster::new();
    surroundings::apply(&mut cluster, &snapshot.surroundings, &snapshot.budgets);
    for node in &snapshot.nodes {
        cluster.upsert_node(node.clone());
    }
    for pod in &snapshot.pods {
        cluster.upsert_pod(pod.clone());
    }
    decide(&mut cluster, &snapshot.pending, profile, tie)
}
