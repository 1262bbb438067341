//! What the node autoscaler sees, remembers and decides. All of it goes into the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use units::Timestamp;

use crate::report::Report;
use crate::scheduling::view::{
    BudgetView, ClaimView, CsiNodeView, NamespaceView, NodeView, OwnerSelector, PersistentVolumeView, PodKey, PodView,
    PriorityClassView, ServiceView, StorageClassView, is_default,
};

/// One instance of a group, as the cloud reports it; it may not be a node yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceView {
    /// The name that its node has or will have.
    pub name: String,
    pub state: InstanceState,
    /// Why it could not be created.
    #[serde(default, skip_serializing_if = "is_default")]
    pub error: Option<InstanceError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    Creating,
    Running,
    Deleting,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceError {
    /// No capacity or no quota, which another group may not suffer from.
    pub out_of_resources: bool,
    pub code: String,
    pub message: String,
}

/// A node group: an AKS pool with autoscaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupView {
    pub name: String,
    pub min: i32,
    pub max: i32,
    /// What the cloud was last asked for.
    pub target_size: i32,
    /// A node of this group before any pod runs on it.
    pub template: Arc<NodeView>,
    pub instances: Vec<InstanceView>,
    /// For the `priority` expander: higher is preferred.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
}

/// The objects that scheduling needs beside pods and nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Surroundings {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerSelector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_classes: Vec<PriorityClassView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<NamespaceView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<PersistentVolumeView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storage_classes: Vec<StorageClassView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub csi_nodes: Vec<CsiNodeView>,
}

/// The cluster at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub now: Timestamp,
    pub groups: Vec<GroupView>,
    /// Registered nodes, in or outside the groups.
    pub nodes: Vec<Arc<NodeView>>,
    /// All pods that have not ended, bound and pending.
    pub pods: Vec<Arc<PodView>>,
    /// The pods that daemon sets would put on a new node (`wire::context::daemon_set_pod`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub daemon_sets: Vec<Arc<PodView>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetView>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub surroundings: Surroundings,
}

/// What the autoscaler keeps from loop to loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// When the autoscaler ran first; the delays after add, delete and failure count from its start where nothing
    /// happened yet.
    #[serde(skip_serializing_if = "is_default")]
    pub started: Option<Timestamp>,
    /// When the last timed loop ran; loops that a pod started do not count.
    #[serde(skip_serializing_if = "is_default")]
    pub last_loop: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub last_scale_up: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub last_delete: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub last_failed_delete: Option<Timestamp>,
    /// By node.
    #[serde(skip_serializing_if = "is_default")]
    pub unneeded_since: BTreeMap<String, Timestamp>,
    /// Nodes that could not be removed when last tried, with the instant from which they are tried again.
    #[serde(skip_serializing_if = "is_default")]
    pub unremovable_until: BTreeMap<String, Timestamp>,
    /// By group: what was asked for and is not there yet.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_up_requests: BTreeMap<String, ScaleUpRequest>,
    /// By group.
    #[serde(skip_serializing_if = "is_default")]
    pub backoffs: BTreeMap<String, Backoff>,
    /// By instance that never became a node.
    #[serde(skip_serializing_if = "is_default")]
    pub unregistered_since: BTreeMap<String, Timestamp>,
    /// By group: since when target size and instances differ without a request under way.
    #[serde(skip_serializing_if = "is_default")]
    pub wrong_size_since: BTreeMap<String, WrongSize>,
    /// Nodes whose deletion was decided and that are still there.
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: BTreeMap<String, Deletion>,
    /// Pods evicted by a deletion, until they run elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub evicted: Vec<Eviction>,
    /// Drives the random expander, so that a decision can be repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub random: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleUpRequest {
    pub increase: i32,
    pub at: Timestamp,
    /// `at` plus the provisioning time: when the missing nodes count as failed.
    pub expected: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    pub until: Timestamp,
    pub seconds: i64,
    pub last_failure: Timestamp,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongSize {
    pub since: Timestamp,
    pub current: i32,
    pub expected: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    pub group: String,
    pub since: Timestamp,
    /// Pods had to leave it.
    pub drained: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    pub pod: Arc<PodView>,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub scale_ups: Vec<ScaleUp>,
    pub scale_downs: Vec<ScaleDown>,
    /// Every node without need at present; upstream taints them
    /// `DeletionCandidateOfClusterAutoscaler=<since>:PreferNoSchedule`.
    pub unneeded: Vec<Unneeded>,
    /// Pods that no group can help, with upstream's event message (`NotTriggerScaleUp`).
    pub not_helped: Vec<NotHelped>,
    pub report: Report,
    /// When to decide next: the next timed loop.
    pub next: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleUp {
    pub group: String,
    pub from: i32,
    pub to: i32,
    /// The pods it is for.
    pub pods: Vec<PodKey>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleDown {
    pub group: String,
    /// The node, or the instance that never became one, to taint, drain and delete.
    pub node: String,
    pub from: i32,
    pub to: i32,
    pub reason: ScaleDownReason,
    /// The pods to evict first, within `grace_seconds`; daemon set pods are not among them.
    pub evict: Vec<PodKey>,
    pub evict_daemon_sets: bool,
    pub grace_seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleDownReason {
    /// Nothing runs on it but daemon sets and mirror pods.
    Empty,
    /// Little runs on it, and that fits elsewhere.
    Underutilized,
    Unready,
    /// It did not become a node in time.
    Unregistered,
    /// The cloud could not create it.
    CreationFailed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unneeded {
    pub node: String,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotHelped {
    pub pod: PodKey,
    pub message: String,
}
