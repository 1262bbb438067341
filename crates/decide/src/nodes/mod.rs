//! How many nodes: the cluster autoscaler with AKS's profile, after cluster-autoscaler 1.36.1.
//!
//! [`decide`] is one loop: what upstream calls `RunOnce`. The caller runs it at [`Decision::next`] and whenever a pod
//! becomes unschedulable, acts on what it returns, and keeps [`Memory`]. A caller who keeps a cluster current anyway
//! uses [`decide_on`], which does not build one, and may leave out the loops before [`Decision::quiet_until`].
//!
//! Where AKS's provider does nothing, nothing is done here: a target size that the cloud does not reach is not lowered,
//! the instances that never became nodes are deleted instead.

mod drain;
mod estimate;
mod expander;
mod health;
mod hints;
mod model;
mod moves;
mod profile;
mod quiet;
mod reasons;
mod run;
mod scale_down;
mod scale_up;
mod similar;
mod template;
mod unneeded;
mod world;

pub use hints::Hints;
pub use model::{
    Backoff, Decision, Deletion, GroupView, InstanceError, InstanceState, InstanceView, Memory, NotHelped, ScaleDown,
    ScaleDownReason, ScaleUp, ScaleUpRequest, Snapshot, Surroundings, Unneeded,
};
pub use profile::{Expander, Profile, ProfileError};
pub use run::{decide, decide_on};

#[cfg(test)]
mod tests;
