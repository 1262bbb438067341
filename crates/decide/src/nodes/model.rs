//! What the node autoscaler sees, remembers and decides. All of it goes into the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use units::{Millis, Timestamp};

use super::hints::Hints;
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
    /// All pods that have not ended, bound and pending. For [`super::decide_on`], which is given the bound ones in its
    /// cluster, those that are not bound, of a priority below −10, or being deleted.
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
    /// Instances that the cloud reported as failed, so that each counts once.
    #[serde(skip_serializing_if = "is_default")]
    pub creation_errors: BTreeSet<String>,
    /// Nodes whose deletion was decided and that are still there.
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: BTreeMap<String, Deletion>,
    /// Where pending pods were put in thought.
    #[serde(skip_serializing_if = "is_default")]
    pub pending_hints: Hints,
    /// Where pods of nodes without need were put in thought.
    #[serde(skip_serializing_if = "is_default")]
    pub moving_hints: Hints,
    /// When nodes without need were last looked for, and the shortest time between two such loops.
    #[serde(skip_serializing_if = "is_default")]
    pub last_update: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub shortest_interval: Option<Millis>,
    /// Loops that follow at once on one that changed something.
    #[serde(skip_serializing_if = "is_default")]
    pub immediate_loops: u8,
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

impl Memory {
    /// The cloud refused to grow the group: it backs off, and nothing is expected of the request any more.
    pub fn scale_up_failed(&mut self, group: &str, reason: &str, now: Timestamp) {
        self.scale_up_requests.remove(group);
        super::health::back_off(self, group, reason, now);
    }

    /// A copy of all but the hints, which are many and say themselves whether they have changed.
    pub(super) fn without_hints(&mut self) -> Memory {
        let (pending, moving) = (std::mem::take(&mut self.pending_hints), std::mem::take(&mut self.moving_hints));
        let copy = self.clone();
        (self.pending_hints, self.moving_hints) = (pending, moving);
        copy
    }

    /// Whether nothing but the time of the last loop differs from what [`Memory::without_hints`] kept.
    pub(super) fn is_as_settled_as(&mut self, before: &Memory) -> bool {
        let hints = self.pending_hints.settle() & self.moving_hints.settle();
        if !hints || self.immediate_loops != 0 {
            return false;
        }
        let now = (self.last_update, std::mem::take(&mut self.pending_hints), std::mem::take(&mut self.moving_hints));
        self.last_update = before.last_update;
        let same = *self == *before;
        (self.last_update, self.pending_hints, self.moving_hints) = now;
        same
    }

    /// The node could not be tainted, drained or deleted and stays.
    pub fn deletion_failed(&mut self, node: &str, now: Timestamp) {
        self.deleting.remove(node);
        self.last_failed_delete = Some(now);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    pub group: String,
    pub since: Timestamp,
    /// Pods had to leave it.
    pub drained: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Sizes count on the deletions of instances that never became nodes (`Unregistered`, `CreationFailed`), which the
    /// caller therefore starts first.
    pub scale_ups: Vec<ScaleUp>,
    pub scale_downs: Vec<ScaleDown>,
    /// Every node without need at present; upstream taints them
    /// `DeletionCandidateOfClusterAutoscaler=<since>:PreferNoSchedule`.
    pub unneeded: Vec<Unneeded>,
    /// Too many nodes are unready: nothing was looked at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unhealthy: bool,
    /// Pods that no group can help, with upstream's event message (`NotTriggerScaleUp`).
    pub not_helped: Vec<NotHelped>,
    pub report: Report,
    /// When to decide next: at once after a change, which may not be all, otherwise after the scan interval. A pod that
    /// becomes unschedulable starts a loop of its own before that.
    pub next: Timestamp,
    /// Loops before this instant come to the same end as long as the snapshot stays the same, so that a caller in virtual
    /// time may leave them out. `None`: nothing is known, the loop at `next` is needed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quiet_until: Option<Timestamp>,
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
    /// The pods to evict first.
    pub evict: Vec<PodKey>,
    /// Daemon set pods to evict afterwards, without waiting for their budgets; the others go with the node.
    pub evict_daemons: Vec<PodKey>,
    /// How long a pod may take to end at most.
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
