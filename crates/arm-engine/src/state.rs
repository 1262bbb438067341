//! What the engine remembers. Every type here is a row of a table and is stored as it stands.

use std::collections::{BTreeMap, BTreeSet};

use arm_model::error::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use units::Timestamp;

use crate::deletion::Deletions;

/// A resource or resource group; its key is the lower-case id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredResource {
    pub id: String,
    pub resource_type: String,
    /// The body as a GET of the resource alone gives it, without inline children.
    pub body: Value,
    /// Write-only and never returned: passwords and kubeconfigs.
    #[serde(default)]
    pub hidden: BTreeMap<String, String>,
    pub etag: String,
    /// Order of creation, which is the order of lists.
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl Status {
    pub fn is_final(self) -> bool {
        self != Status::Running
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "Running",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
            Status::Canceled => "Canceled",
        }
    }
}

/// A long-running operation; its key is its guid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// What it works on.
    pub target: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub status: Status,
    pub error: Option<ErrorBody>,
    /// What a poll of `Location` answers with once the operation succeeded; else the resource, where it still exists.
    pub result: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectKind {
    EnsureCluster,
    StopCluster,
    DeleteCluster,
    EnsurePostgres,
    StopPostgres,
    DeletePostgres,
}

/// Work outside that has not been reported done; its key is its number. What the effect says is built when it is
/// handed out, so that changes which wait for the same target become one effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingEffect {
    pub kind: EffectKind,
    /// Key of the cluster or server.
    pub target: String,
    pub operations: Vec<String>,
}

/// The deletion of a resource group, in rounds because resources in use go after their users. Its key is the group's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupDeletion {
    pub operation: String,
    pub deletions: Deletions,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypedValue {
    pub kind: String,
    pub value: Value,
}

impl TypedValue {
    pub fn is_secure(&self) -> bool {
        self.kind.to_ascii_lowercase().starts_with("secure")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    Waiting,
    Running,
    Succeeded,
    Failed,
    /// Its condition is false, or it only refers to what exists.
    Skipped,
}

/// One resource of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub symbol: Option<String>,
    /// Turn of its copy loop.
    pub copies: BTreeMap<String, i64>,
    pub id: String,
    pub resource_type: String,
    pub api_version: String,
    /// As the template has it, unevaluated.
    pub raw: Value,
    pub depends_on: Vec<usize>,
    pub state: StepState,
    /// The long-running operation that it waits for.
    pub operation: Option<String>,
    pub operation_id: String,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub status_code: Option<u16>,
    pub error: Option<ErrorBody>,
}

/// A deployment; its key is the lower-case id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: String,
    pub location: Option<String>,
    pub tags: Option<Value>,
    pub mode: String,
    /// Emptied when the deployment ends, except for what `exportTemplate` shows.
    pub template: Value,
    pub template_hash: String,
    /// Secure values only while it runs.
    pub parameters: BTreeMap<String, TypedValue>,
    pub status: Status,
    pub correlation_id: String,
    pub operation: String,
    pub principal: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub steps: Vec<Step>,
    pub outputs: BTreeMap<String, TypedValue>,
    pub error: Option<ErrorBody>,
    /// Complete mode deletes what the template does not name, once everything else is done.
    pub deletions: Option<Deletions>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StackPhase {
    Deploying,
    DeletingResources,
    Deleting,
    Succeeded,
    Failed,
    Canceled,
}

impl StackPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            StackPhase::Deploying => "deploying",
            StackPhase::DeletingResources => "deletingResources",
            StackPhase::Deleting => "deleting",
            StackPhase::Succeeded => "succeeded",
            StackPhase::Failed => "failed",
            StackPhase::Canceled => "canceled",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, StackPhase::Succeeded | StackPhase::Failed | StackPhase::Canceled)
    }
}

/// A deployment stack; its key is the lower-case id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    pub id: String,
    pub location: Option<String>,
    pub tags: Option<Value>,
    /// Settings as they were asked for: actionOnUnmanage, denySettings, description, deploymentScope.
    pub settings: Value,
    pub template: Value,
    pub parameters: BTreeMap<String, TypedValue>,
    pub phase: StackPhase,
    pub operation: String,
    pub deployment_id: Option<String>,
    pub correlation_id: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub created: Timestamp,
    pub managed: Vec<String>,
    pub detached: Vec<String>,
    pub deleted: Vec<String>,
    pub failed: Vec<(String, ErrorBody)>,
    pub deletions: Deletions,
    pub outputs: BTreeMap<String, TypedValue>,
    pub error: Option<ErrorBody>,
}

/// What does not belong to any resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub next_sequence: u64,
    pub next_effect: u64,
    pub ids: crate::ids::Ids,
    /// Namespaces that were unregistered, in lower case.
    pub unregistered: BTreeSet<String>,
    #[serde(default)]
    pub next_event: u64,
    #[serde(default)]
    pub subscription_tags: serde_json::Map<String, Value>,
    /// Tag names that were made on purpose, with their values.
    #[serde(default)]
    pub tag_names: BTreeMap<String, BTreeSet<String>>,
}

impl Meta {
    pub fn new() -> Meta {
        Meta {
            next_sequence: 1,
            next_effect: 1,
            ids: crate::ids::Ids::new(0),
            unregistered: BTreeSet::new(),
            next_event: 0,
            subscription_tags: serde_json::Map::new(),
            tag_names: BTreeMap::new(),
        }
    }
}
