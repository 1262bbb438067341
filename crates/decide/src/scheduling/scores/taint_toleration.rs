//! TaintToleration: fewer untolerated `PreferNoSchedule` taints are better.

use super::{Score, default_normalize};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::{PodView, Taint, TaintEffect};

struct State {
    /// By taint list.
    untolerated: Vec<i64>,
}

pub(super) fn prepare<'a>(cluster: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    let untolerated = |taint: &&Taint| taint.effect == TaintEffect::PreferNoSchedule && !pod.tolerates(taint);
    let count = |taints: &Vec<Taint>| taints.iter().filter(untolerated).count() as i64;
    Some(Box::new(State { untolerated: cluster.taint_lists.iter().map(count).collect() }))
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        self.untolerated[node.taints.0 as usize]
    }

    fn normalize(&self, _: &[&NodeState], scores: &mut [i64]) {
        default_normalize(scores, true);
    }
}
