//! The live stream: one snapshot, then changes.
//!
//! Server-sent events named `snapshot` (data: [`Snapshot`]) and `changes` (data: [`Changes`]). The event's id names the
//! replica's run and the revision; a client that comes back with `Last-Event-ID` gets only what it missed when the same
//! replica still remembers it, and a new snapshot otherwise.

use crate::cluster::{Cluster, Event, Node, Pod, Pool};
use crate::hpa::Hpa;
use crate::stacks::{Preview, StackRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    pub revision: u64,
    pub cluster: Cluster,
    pub pools: Vec<Pool>,
    pub nodes: Vec<Node>,
    pub pods: Vec<Pod>,
    pub hpas: Vec<Hpa>,
    pub stacks: Vec<StackRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub revision: u64,
    pub changes: Vec<Change>,
}

/// One thing that is new, different or gone. Keys are `name`, or `namespace/name` where there are namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Change {
    Cluster { value: Cluster },
    Pool { key: String, value: Option<Pool> },
    Node { key: String, value: Option<Node> },
    Pod { key: String, value: Option<Pod> },
    Hpa { key: String, value: Option<Hpa> },
    Stack { key: String, value: Option<StackRecord> },
    Event { key: String, value: Option<Event> },
    Preview { value: Option<Preview> },
}
