//! The driver of manifests: server-side apply, an ApplySet that knows what to prune, waves, rollouts and releases.

mod apply;
mod applyset;
mod client;
mod compare;
mod kinds;
mod manifest;
mod plan;
mod release;
mod rollout;

pub use apply::{Applied, apply, destroy};
pub use applyset::{PARENT_NAME, PARENT_NAMESPACE};
pub use client::{Cluster, ClusterError};
pub use kinds::{Kind, Wave, kind};
pub use manifest::{Manifest, ManifestError, ObjectKey, read_folder, read_text};
pub use plan::{Plan, applied_objects, plan, plan_rollback};
pub use release::{KEPT_RELEASES, Release};
pub use rollout::{RolloutError, wait_for_rollouts};

/// Owns the fields that the manifests set.
pub const FIELD_MANAGER: &str = "marea";
