//! Nodes.

use serde_json::Value;

use super::{Strategy, pod_spec};
use crate::field::FieldErrors;
use crate::json;

pub struct Node;
pub static NODE: Node = Node;

impl Strategy for Node {
    /// A kubelet registers its node together with what it can carry.
    fn reset_status(&self, object: &mut Value) {
        json::object(object, "status");
    }

    fn default(&self, object: &mut Value) {
        json::object(object, "spec");
        json::object(object, "status");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let mut seen = Vec::new();
        for (index, taint) in json::items(object, "/spec/taints").iter().enumerate() {
            let at = format!("spec.taints[{index}]");
            if json::text(taint, "/key").unwrap_or_default().is_empty() {
                errors.required(format!("{at}.key"), "");
            }
            if json::text(taint, "/effect").unwrap_or_default().is_empty() {
                errors.required(format!("{at}.effect"), "");
            }
            pod_spec::supported(taint, "effect", &at, &["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
            let identity = (taint["key"].clone(), taint["effect"].clone());
            if seen.contains(&identity) {
                errors.duplicate(at, taint);
            }
            seen.push(identity);
        }
    }

    /// Kubelets annotate and label their node through its status.
    fn keep_status_metadata(&self, stated: &Value, object: &mut Value) {
        for field in ["labels", "annotations"] {
            if let Some(value) = stated.get(field) {
                object["metadata"][field] = value.clone();
            }
        }
    }
}
