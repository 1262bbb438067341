//! How many nodes: the cluster autoscaler with AKS's profile, after cluster-autoscaler 1.36.1.

mod model;
mod profile;

pub use model::{
    Backoff, Decision, Deletion, Eviction, GroupView, InstanceError, InstanceState, InstanceView, Memory, NotHelped,
    ScaleDown, ScaleDownReason, ScaleUp, ScaleUpRequest, Snapshot, Surroundings, Unneeded, WrongSize,
};
pub use profile::{Expander, Profile, ProfileError};
