//! NodeName: a pod that names its node runs there or nowhere.

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::PodView;

pub(super) const NAME: &str = "NodeName";

#[derive(Clone)]
struct State;

pub(super) fn prepare(_: &Cluster, pod: &PodView) -> Prepared {
    if pod.node.is_some() { Prepared::Ready(Box::new(State)) } else { Prepared::Skip }
}

impl Filter for State {
    fn check(&self, pod: &PodView, node: &NodeState) -> Verdict {
        if pod.node.as_deref() == Some(node.name()) {
            return Ok(());
        }
        Err(Rejection::final_(NAME, "node(s) didn't match the requested node name"))
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
