//! How many nodes: the cluster autoscaler with AKS's profile, after cluster-autoscaler 1.36.1.
//!
//! [`decide`] is one loop: what upstream calls `RunOnce`. The caller runs it at [`Decision::next`] and whenever a pod
//! becomes unschedulable, acts on what it returns, and keeps [`Memory`].
//!
//! Where AKS's provider does nothing, nothing is done here: a target size that the cloud does not reach is not lowered,
//! the instances that never became nodes are deleted instead.

mod drain;
mod estimate;
mod expander;
mod health;
mod model;
mod profile;
mod run;
mod scale_down;
mod scale_up;
mod similar;
mod template;
mod world;

pub use model::{
    Backoff, Decision, Deletion, GroupView, InstanceError, InstanceState, InstanceView, Memory, NotHelped, ScaleDown,
    ScaleDownReason, ScaleUp, ScaleUpRequest, Snapshot, Surroundings, Unneeded,
};
pub use profile::{Expander, Profile, ProfileError};
pub use run::decide;

#[cfg(test)]
mod tests;
