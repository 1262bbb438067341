//! Where pods were put in thought in the last loop, so that they are put there again.
//!
//! After `simulator/scheduling/hints.go` of cluster-autoscaler 1.36.1. Without them the nodes without need would change
//! from loop to loop, and their time with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scheduling::view::PodView;

/// Kept for one loop in which they are not used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hints {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    current: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    old: BTreeMap<String, String>,
}

impl Hints {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.current.get(key).or_else(|| self.old.get(key)).map(String::as_str)
    }

    pub(super) fn set(&mut self, key: String, node: &str) {
        self.current.insert(key, node.to_owned());
    }

    pub(super) fn drop_old(&mut self) {
        self.old = std::mem::take(&mut self.current);
    }
}

/// Tells a pod from one that came later under the same name.
pub(super) fn hint_key(pod: &PodView) -> String {
    format!("{}/{}@{}", pod.namespace, pod.name, pod.created.0)
}
