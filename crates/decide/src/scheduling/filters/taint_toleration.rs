//! TaintToleration: every taint that keeps pods off must be tolerated.

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::{PodView, TaintEffect};

pub(super) const NAME: &str = "TaintToleration";

#[derive(Clone)]
struct State {
    /// By taint list. Nodes of a pool share theirs, so the list is looked at once.
    tolerated: Vec<bool>,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let tolerated: Vec<bool> = cluster
        .taint_lists
        .iter()
        .map(|taints| taints.iter().all(|taint| taint.effect == TaintEffect::PreferNoSchedule || pod.tolerates(taint)))
        .collect();
    if tolerated.iter().all(|tolerated| *tolerated) {
        return Prepared::Skip;
    }
    Prepared::Ready(Box::new(State { tolerated }))
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        if self.tolerated[node.taints.0 as usize] {
            return Ok(());
        }
        Err(Rejection::final_(NAME, "node(s) had untolerated taint(s)"))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
