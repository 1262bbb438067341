//! A node as the decisions see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use units::Timestamp;

use super::{Resources, is_default};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    #[default]
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    pub key: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub value: String,
    pub effect: TaintEffect,
}

impl Taint {
    pub fn new(key: impl Into<String>, value: impl Into<String>, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect }
    }
}

/// An image that a node holds, under every name it is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageView {
    pub names: Vec<String>,
    pub bytes: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeView {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Only those of the cluster autoscaler.
    #[serde(default, skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub taints: Vec<Taint>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub unschedulable: bool,
    pub allocatable: Resources,
    /// How many pods the kubelet admits.
    pub pod_limit: i64,
    /// Before the reservations for system and kubelet; similar groups are compared by it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capacity: Resources,
    #[serde(default, skip_serializing_if = "is_default")]
    pub images: Vec<ImageView>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub provider_id: String,
    #[serde(default)]
    pub created: Timestamp,
    /// Ready, network up and without disk pressure, as the cluster autoscaler defines readiness.
    #[serde(default)]
    pub ready: bool,
    /// When readiness last changed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready_changed: Option<Timestamp>,
    /// The reason of the condition that makes the node unready.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unready_reason: String,
}

impl NodeView {
    /// An untainted, ready node, to be filled in.
    pub fn new(name: impl Into<String>) -> NodeView {
        NodeView {
            name: name.into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            taints: Vec::new(),
            unschedulable: false,
            allocatable: Resources::default(),
            pod_limit: 110,
            capacity: Resources::default(),
            images: Vec::new(),
            provider_id: String::new(),
            created: Timestamp(0),
            ready: true,
            ready_changed: None,
            unready_reason: String::new(),
        }
    }

    pub fn has_taint(&self, key: &str) -> bool {
        self.taints.iter().any(|taint| taint.key == key)
    }
}
