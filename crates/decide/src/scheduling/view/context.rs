//! The objects around pods and nodes: services and owners, budgets, priorities, namespaces, storage.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{NodeTerm, PodView, Selector, is_default};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceView {
    pub namespace: String,
    pub name: String,
    /// A service without a selector takes no part.
    pub selector: BTreeMap<String, String>,
}

/// A ReplicaSet, StatefulSet or ReplicationController, of which only the selector matters here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSelector {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub selector: Selector,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetView {
    pub namespace: String,
    pub name: String,
    pub selector: Selector,
    pub disruptions_allowed: i32,
    /// Pods whose eviction the budget has already counted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disrupted: BTreeSet<String>,
}

impl BudgetView {
    pub fn covers(&self, pod: &PodView) -> bool {
        self.namespace == pod.namespace && self.selector.matches(&pod.labels)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityClassView {
    pub name: String,
    pub value: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub global_default: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub never_preempts: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceView {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimView {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Empty until bound.
    pub volume: String,
    pub storage_class: String,
    /// The binding is complete (`pv.kubernetes.io/bind-completed`).
    pub bound: bool,
    pub deleting: bool,
    /// `phase: Lost`: its volume is gone.
    pub lost: bool,
    pub read_write_once_pod: bool,
    pub access_modes: Vec<String>,
    pub volume_mode: String,
    pub bytes: i64,
    pub selector: Option<Selector>,
    /// The node that a delayed binding already chose.
    pub selected_node: String,
    /// The UID of the pod that owns it, for ephemeral volumes.
    pub owner_uid: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersistentVolumeView {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub storage_class: String,
    pub bytes: i64,
    pub access_modes: Vec<String>,
    pub volume_mode: String,
    /// Required node affinity; `None` where the volume is reachable from everywhere.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// The claim it is bound to or reserved for, `namespace/name`.
    pub claim: Option<String>,
    pub claim_uid: String,
    pub available: bool,
    pub deleting: bool,
    pub csi_driver: String,
    pub csi_handle: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeBindingMode {
    #[default]
    Immediate,
    WaitForFirstConsumer,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageClassView {
    pub name: String,
    pub provisioner: String,
    pub binding_mode: VolumeBindingMode,
    /// Where volumes may be made; empty: everywhere. Each term lists its requirements as `In`.
    pub allowed_topologies: Vec<NodeTerm>,
}

/// The volume limits that a node's CSI drivers report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsiNodeView {
    pub node: String,
    /// By driver; a driver without a limit is absent.
    pub limits: BTreeMap<String, i64>,
}
