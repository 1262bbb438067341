//! Pools, nodes, pods and events, as the console shows them.
//!
//! Times are RFC 3339 in UTC; CPU is in millicores and memory in bytes, as integers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The platform at one moment, from the cluster and from PostgreSQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    pub cluster: Cluster,
    pub pools: Vec<Pool>,
    pub hpas: Vec<crate::hpa::Hpa>,
    pub database: crate::database::Database,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    pub name: String,
    /// Kubernetes version of the API server, absent until it has answered once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub pods: u32,
    pub pods_ready: u32,
    pub pods_pending: u32,
    /// What the view lacks, e.g. because the API denies it; empty when everything is there.
    pub gaps: Vec<Gap>,
}

/// A part of the view that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What is missing: `nodes`, `pods`, `hpas`, `events`, `stacks`, `usage`, `decisions`.
    pub part: String,
    pub reason: String,
}

/// CPU and memory: what pods ask for, what they use, what nodes offer to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    pub cpu_millicores: u64,
    pub memory_bytes: u64,
}

impl std::ops::AddAssign for Resources {
    fn add_assign(&mut self, other: Resources) {
        self.cpu_millicores = self.cpu_millicores.saturating_add(other.cpu_millicores);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
    }
}

/// A set of equal nodes that grows and shrinks as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    pub name: String,
    pub vm_size: String,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub pods: u32,
    pub allocatable: Resources,
    pub requested: Resources,
    /// Absent while there are no readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Resources>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum NodePhase {
    Ready,
    NotReady,
    /// Ready, but closed to new pods.
    Cordoned,
    /// Being removed from its pool.
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub name: String,
    pub pool: String,
    pub phase: NodePhase,
    pub vm_size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub pods: u32,
    pub pods_allocatable: u32,
    pub allocatable: Resources,
    pub requested: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PodPhase {
    /// Not bound to a node yet.
    Unscheduled,
    /// Bound, containers not all running.
    Starting,
    Running,
    /// Running and ready for traffic.
    Ready,
    /// A container keeps failing.
    Failing,
    Terminating,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// The workload it belongs to, e.g. `Deployment/backend`; absent for bare pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub phase: PodPhase,
    /// Why it is in this phase, as kubectl words it, e.g. `CrashLoopBackOff` or `Unschedulable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub requested: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

/// A Kubernetes event, newest first in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Stable identity, namespace and name.
    pub id: String,
    /// `Normal` or `Warning`.
    pub severity: String,
    pub reason: String,
    pub message: String,
    /// What it is about, e.g. `Pod/backend-7d9f`.
    pub object: String,
    pub namespace: String,
    pub count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}
