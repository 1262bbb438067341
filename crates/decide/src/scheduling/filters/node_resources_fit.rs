//! NodeResourcesFit: what the pod requests must be free.

use std::borrow::Cow;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::PodView;

pub(super) const NAME: &str = "NodeResourcesFit";

#[derive(Clone)]
struct State {
    requests_nothing: bool,
}

pub(super) fn prepare(_: &Cluster, pod: &PodView) -> Prepared {
    Prepared::Ready(Box::new(State { requests_nothing: pod.requests.is_zero() }))
}

/// Collects what is missing, in upstream's order; each reason allocates only when there is one.
#[derive(Default)]
struct Missing {
    reasons: Vec<Cow<'static, str>>,
    beyond_node: bool,
}

impl Missing {
    fn resource(&mut self, reason: impl FnOnce() -> Cow<'static, str>, wanted: i64, capacity: i64, used: i64) {
        if wanted > 0 && wanted > capacity.saturating_sub(used) {
            self.reasons.push(reason());
            self.beyond_node |= wanted > capacity;
        }
    }
}

impl Filter for State {
    /// As `fitsRequest` of noderesources/fit.go v1.36.3.
    fn check(&self, pod: &PodView, node: &NodeState) -> Verdict {
        let mut missing = Missing::default();
        if node.pods.len() as i64 + 1 > node.view.pod_limit {
            missing.reasons.push(Cow::Borrowed("Too many pods"));
        }
        if !self.requests_nothing {
            let (wanted, have, used) = (&pod.requests, &node.allocatable, &node.requested);
            missing.resource(|| Cow::Borrowed("Insufficient cpu"), wanted.cpu.0, have.cpu, used.cpu);
            missing.resource(|| Cow::Borrowed("Insufficient memory"), wanted.memory.0, have.memory, used.memory);
            missing.resource(
                || Cow::Borrowed("Insufficient ephemeral-storage"),
                wanted.ephemeral_storage.0,
                have.ephemeral_storage,
                used.ephemeral_storage,
            );
            for (name, amount) in &wanted.scalar {
                let have = node.view.allocatable.scalar.get(name).copied().unwrap_or(0);
                let used = node.requested_scalar.get(name).copied().unwrap_or(0);
                missing.resource(|| Cow::Owned(format!("Insufficient {name}")), *amount, have, used);
            }
        }
        let mut reasons = missing.reasons.into_iter();
        let Some(reason) = reasons.next() else { return Ok(()) };
        Err(Rejection { filter: NAME, reason, more: reasons.collect(), resolvable: !missing.beyond_node })
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
