//! NodePorts: a port of the host serves one pod.

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::PodView;

pub(super) const NAME: &str = "NodePorts";

#[derive(Clone)]
struct State;

pub(super) fn prepare(_: &Cluster, pod: &PodView) -> Prepared {
    if pod.host_ports.is_empty() { Prepared::Skip } else { Prepared::Ready(Box::new(State)) }
}

impl Filter for State {
    fn check(&self, pod: &PodView, node: &NodeState) -> Verdict {
        let taken = pod.host_ports.iter().any(|wanted| node.ports.iter().any(|used| used.conflicts(wanted)));
        if taken {
            return Err(Rejection::resolvable(NAME, "node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
