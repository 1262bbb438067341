//! Nodes: from the Kubernetes object to [`NodeView`].

use k8s_openapi::api::core::v1 as api;
use units::Timestamp;

use super::pod::{effect, normalized_image};
use super::resources::{amount, resources};
use super::time::instant;
use crate::scheduling::view::{ImageView, NodeView, Taint};

/// The decision view of a node.
pub fn node_view(node: &api::Node) -> NodeView {
    let name = node.metadata.name.clone().unwrap_or_default();
    let mut view = NodeView {
        labels: node.metadata.labels.clone().unwrap_or_default(),
        created: node.metadata.creation_timestamp.as_ref().map(instant).unwrap_or_default(),
        pod_limit: 0,
        ..NodeView::new(name)
    };
    view.annotations = node
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| key.starts_with("cluster-autoscaler.kubernetes.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(spec) = &node.spec {
        view.unschedulable = spec.unschedulable == Some(true);
        view.provider_id = spec.provider_id.clone().unwrap_or_default();
        view.taints = spec.taints.iter().flatten().filter_map(taint).collect();
    }
    if let Some(status) = &node.status {
        fill_status(&mut view, status);
    }
    fill_readiness(&mut view, node.status.as_ref());
    view
}

fn taint(taint: &api::Taint) -> Option<Taint> {
    Some(Taint::new(&taint.key, taint.value.clone().unwrap_or_default(), effect(&taint.effect)?))
}

fn fill_status(view: &mut NodeView, status: &api::NodeStatus) {
    // Where a node reports no allocatable, the API defaults it to the capacity.
    let allocatable = status.allocatable.as_ref().filter(|list| !list.is_empty()).or(status.capacity.as_ref());
    if let Some(list) = allocatable {
        view.allocatable = resources(list);
        view.pod_limit = list.get("pods").map_or(0, |pods| amount(pods).value());
    }
    view.capacity = status.capacity.as_ref().map(resources).unwrap_or_default();
    view.images = status
        .images
        .iter()
        .flatten()
        .map(|image| ImageView {
            names: image.names.iter().flatten().map(|name| normalized_image(name)).collect(),
            bytes: image.size_bytes.unwrap_or(0),
        })
        .collect();
}

/// As `GetReadinessState` of cluster-autoscaler 1.36.1 `utils/kubernetes/ready.go`: the first condition or taint that
/// speaks against the node decides; without any Ready condition the node is not ready.
fn fill_readiness(view: &mut NodeView, status: Option<&api::NodeStatus>) {
    let (mut ready, mut found, mut reason) = (true, false, String::new());
    let mut changed: Option<Timestamp> = None;
    for condition in status.iter().flat_map(|status| status.conditions.iter().flatten()) {
        let bad = match condition.type_.as_str() {
            "Ready" => {
                found = true;
                condition.status != "True"
            }
            "DiskPressure" | "NetworkUnavailable" => condition.status == "True",
            _ => continue,
        };
        let at = condition.last_transition_time.as_ref().map(instant);
        changed = changed.max(at);
        if bad && ready {
            ready = false;
            reason = condition.reason.clone().unwrap_or_else(|| condition.type_.clone());
        }
    }
    if let Some(taint) = view.taints.iter().find(|t| NOT_READY_TAINTS.contains(&t.key.as_str())) {
        if ready {
            reason = taint.key.clone();
        }
        ready = false;
    }
    view.ready = ready && found;
    view.ready_changed = changed;
    view.unready_reason = if found { reason } else { "the node reports no Ready condition".to_owned() };
}

const NOT_READY_TAINTS: [&str; 3] =
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/disk-pressure", "node.kubernetes.io/network-unavailable"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(status: Value, spec: Value, expected: impl Fn(&NodeView)) {
        let node = json!({"metadata": {"name": "n"}, "spec": spec, "status": status});
        expected(&node_view(&serde_json::from_value(node).expect("a valid node")));
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "lastTransitionTime": "2026-11-23T10:00:00Z", "reason": format!("{kind}{status}")})
    }

    #[test]
    fn readiness_needs_every_condition() {
        check(json!({"conditions": [condition("Ready", "True")]}), json!({}), |v| assert!(v.ready));
        check(json!({"conditions": []}), json!({}), |v| assert!(!v.ready));
        check(json!({"conditions": [condition("Ready", "False")]}), json!({}), |v| {
            assert_eq!((v.ready, v.unready_reason.as_str()), (false, "ReadyFalse"));
        });
        let pressed = json!({"conditions": [condition("Ready", "True"), condition("DiskPressure", "True")]});
        check(pressed, json!({}), |v| assert!(!v.ready));
        let tainted = json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]});
        check(json!({"conditions": [condition("Ready", "True")]}), tainted, |v| assert!(!v.ready));
    }

    #[test]
    fn allocatable_falls_back_to_capacity() {
        check(json!({"capacity": {"cpu": "2", "pods": "30"}}), json!({}), |v| {
            assert_eq!((v.allocatable.cpu.0, v.pod_limit), (2000, 30));
        });
    }
}
