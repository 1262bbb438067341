//! A pod as the decisions see it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use units::{Bytes, Millicores, Timestamp};

use super::{NodeTerm, Resources, Selector, Taint, TaintEffect, is_default};

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    pub namespace: String,
    pub name: String,
}

impl PodKey {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> PodKey {
        PodKey { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for PodKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PodKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PodKey, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let (namespace, name) =
            text.split_once('/').ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not namespace/name")))?;
        Ok(PodKey::new(namespace, name))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// The controller that owns a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerView {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub uid: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TolerationOperator {
    #[default]
    Equal,
    Exists,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toleration {
    /// Empty, with `Exists`: every key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub operator: TolerationOperator,
    #[serde(default, skip_serializing_if = "is_default")]
    pub value: String,
    /// `None`: every effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub effect: Option<TaintEffect>,
}

impl Toleration {
    /// As `Toleration.ToleratesTaint` of k8s.io/api v0.36.3.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        match self.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => self.value == taint.value,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPort {
    /// Empty or `0.0.0.0`: every address of the node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let any = |address: &str| address.is_empty() || address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.address) || any(&other.address) || self.address == other.address)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedNodeTerm {
    pub weight: i32,
    pub term: NodeTerm,
}

/// One term of pod affinity or anti-affinity. `namespaces` already holds the pod's own where the term names none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityTerm {
    pub topology_key: String,
    pub selector: Selector,
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespaces: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespace_selector: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedAffinityTerm {
    pub weight: i32,
    pub term: AffinityTerm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InclusionPolicy {
    Honor,
    Ignore,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpreadConstraint {
    pub max_skew: i32,
    pub topology_key: String,
    /// `DoNotSchedule`; otherwise `ScheduleAnyway`.
    pub hard: bool,
    pub selector: Selector,
    pub min_domains: i32,
    pub node_affinity_policy: InclusionPolicy,
    pub node_taints_policy: InclusionPolicy,
}

/// The volumes that take part in a decision; config maps, secrets and the like do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    Claim {
        name: String,
    },
    /// A generic ephemeral volume; its claim is named after pod and volume.
    Ephemeral {
        claim: String,
    },
    EmptyDir {
        memory: bool,
    },
    HostPath,
    GcePersistentDisk {
        disk: String,
        read_only: bool,
    },
    AwsElasticBlockStore {
        volume: String,
    },
    Iscsi {
        iqn: String,
        read_only: bool,
    },
    Rbd {
        monitors: Vec<String>,
        pool: String,
        image: String,
        read_only: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeView {
    pub name: String,
    pub source: VolumeSource,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodView {
    pub namespace: String,
    pub name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub uid: String,
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Only those that a decision reads: the cluster autoscaler's and the kubelet's mark of a mirror pod.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub owner: Option<OwnerView>,
    #[serde(skip_serializing_if = "is_default")]
    pub scheduler_name: String,
    /// Where the pod is bound.
    #[serde(skip_serializing_if = "is_default")]
    pub node: Option<String>,
    /// Where preemption makes room for it.
    #[serde(skip_serializing_if = "is_default")]
    pub nominated_node: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub phase: PodPhase,
    /// `None` where admission did not resolve the class; `Cluster` then looks `priority_class` up.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub priority_class: String,
    /// `preemptionPolicy: Never`.
    #[serde(skip_serializing_if = "is_default")]
    pub never_preempts: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub requests: Resources,
    /// Requests with 100 m and 200 MiB for each container that names none, which the scores use.
    #[serde(skip_serializing_if = "is_default")]
    pub nonzero_cpu: Millicores,
    #[serde(skip_serializing_if = "is_default")]
    pub nonzero_memory: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub host_ports: Vec<HostPort>,
    #[serde(skip_serializing_if = "is_default")]
    pub node_selector: BTreeMap<String, String>,
    /// One of these must match; `Some` of none matches no node.
    #[serde(skip_serializing_if = "is_default")]
    pub node_affinity: Option<Vec<NodeTerm>>,
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_nodes: Vec<WeightedNodeTerm>,
    #[serde(skip_serializing_if = "is_default")]
    pub affinity: Vec<AffinityTerm>,
    #[serde(skip_serializing_if = "is_default")]
    pub anti_affinity: Vec<AffinityTerm>,
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_affinity: Vec<WeightedAffinityTerm>,
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_anti_affinity: Vec<WeightedAffinityTerm>,
    #[serde(skip_serializing_if = "is_default")]
    pub tolerations: Vec<Toleration>,
    #[serde(skip_serializing_if = "is_default")]
    pub spread: Vec<SpreadConstraint>,
    #[serde(skip_serializing_if = "is_default")]
    pub gates: Vec<String>,
    /// Of every container and image volume, with `:latest` where no tag is given.
    #[serde(skip_serializing_if = "is_default")]
    pub images: Vec<String>,
    /// Containers and init containers.
    #[serde(skip_serializing_if = "is_default")]
    pub container_count: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub volumes: Vec<VolumeView>,
    #[serde(skip_serializing_if = "is_default")]
    pub grace_period_seconds: Option<i64>,
    pub created: Timestamp,
    #[serde(skip_serializing_if = "is_default")]
    pub started: Option<Timestamp>,
    /// The deletion timestamp: when its grace period ends.
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: Option<Timestamp>,
    /// The scheduler evicted it for a pod of higher priority.
    #[serde(skip_serializing_if = "is_default")]
    pub preempted: bool,
    /// When the scheduler last found that no node fits (`PodScheduled: False/Unschedulable`).
    #[serde(skip_serializing_if = "is_default")]
    pub unschedulable_since: Option<Timestamp>,
    /// Pods of one number other than 0 were made from one template, owner and labels included: whoever makes many thousands of them
    /// can spare them being compared field by field. Objects of a cluster have 0.
    #[serde(skip)]
    pub template: u64,
}

impl PodView {
    pub fn key(&self) -> PodKey {
        PodKey::new(&self.namespace, &self.name)
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    pub fn is_owned_by(&self, kind: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind == kind)
    }

    /// Whether another pod is the same to all filters, wherever either of them is bound.
    pub fn is_filtered_like(&self, other: &PodView) -> bool {
        let of_one_template = self.template != 0 && self.template == other.template;
        of_one_template
            || self.namespace == other.namespace
                && self.requests == other.requests
                && self.labels == other.labels
                && self.node_selector == other.node_selector
                && self.node_affinity == other.node_affinity
                && self.affinity == other.affinity
                && self.anti_affinity == other.anti_affinity
                && self.spread == other.spread
                && self.tolerations == other.tolerations
                && self.host_ports == other.host_ports
                && self.volumes == other.volumes
    }

    /// A static pod's image in the API, which nobody but its kubelet can remove.
    pub fn is_mirror(&self) -> bool {
        self.annotations.contains_key("kubernetes.io/config.mirror")
    }

    /// The claims that this pod mounts.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().filter_map(|volume| match &volume.source {
            VolumeSource::Claim { name } | VolumeSource::Ephemeral { claim: name } => Some(name.as_str()),
            _ => None,
        })
    }
}
