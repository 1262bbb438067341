//! What the prometheus-operator makes of a `Prometheus` object, as far as it takes room and has labels.

use serde_json::{Value, json};

/// The StatefulSet: the prometheus container with the object's resources, and the operator's config-reloader beside it with
/// the operator's default requests of 10m and 50Mi (`--config-reloader-cpu-request`, `-memory-request`).
pub(crate) fn stateful_set(object: &Value) -> Option<Value> {
    let api = object["apiVersion"].as_str().filter(|version| version.starts_with("monitoring.coreos.com/"));
    let name = api.and(object["metadata"]["name"].as_str())?;
    let spec = &object["spec"];
    let mut labels = spec["podMetadata"]["labels"].as_object().cloned().unwrap_or_default();
    for (key, value) in [
        ("app.kubernetes.io/name", "prometheus"),
        ("app.kubernetes.io/managed-by", "prometheus-operator"),
        ("app.kubernetes.io/instance", name),
        ("operator.prometheus.io/name", name),
        ("prometheus", name),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
    let mut pod = json!({
        "serviceAccountName": spec["serviceAccountName"].as_str().unwrap_or("default"),
        "containers": [
            {"name": "prometheus", "image": spec["image"].as_str().unwrap_or("quay.io/prometheus/prometheus"),
             "ports": [{"name": "web", "containerPort": 9090}], "resources": resources(spec)},
            {"name": "config-reloader", "resources": {"requests": {"cpu": "10m", "memory": "50Mi"}}},
        ],
    });
    for field in ["affinity", "tolerations", "nodeSelector", "topologySpreadConstraints", "securityContext"] {
        if let Some(value) = spec.get(field) {
            pod[field] = value.clone();
        }
    }
    Some(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": format!("prometheus-{name}"), "namespace": object["metadata"]["namespace"].as_str().unwrap_or("default")},
        "spec": {
            "replicas": spec["replicas"].as_u64().unwrap_or(1),
            "selector": {"matchLabels": {"operator.prometheus.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))
}

fn resources(spec: &Value) -> Value {
    spec.get("resources").cloned().unwrap_or_else(|| json!({}))
}
