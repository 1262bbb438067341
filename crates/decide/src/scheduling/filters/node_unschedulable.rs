//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::{PodView, Taint, TaintEffect};

pub(super) const NAME: &str = "NodeUnschedulable";

#[derive(Clone)]
struct State;

pub(super) fn prepare(_: &Cluster, pod: &PodView) -> Prepared {
    if pod.tolerates(&Taint::new("node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule)) {
        return Prepared::Skip;
    }
    Prepared::Ready(Box::new(State))
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        if node.unschedulable { Err(Rejection::final_(NAME, "node(s) were unschedulable")) } else { Ok(()) }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
