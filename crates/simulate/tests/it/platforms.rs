//! Platforms to simulate: like the seed's, without reading the repository's files.

use std::collections::BTreeMap;

use platform::{Database, Platform, Pool, Scaling};
use serde_json::{Value, json};

pub fn pool(name: &str, vm_size: &str, scaling: Scaling) -> Pool {
    Pool {
        name: name.to_owned(),
        vm_size: vm_size.to_owned(),
        system: name == "systempool",
        scaling,
        max_pods: Some(30),
        labels: BTreeMap::from([("marea.dev/pool".to_owned(), name.to_owned())]),
        taints: if name == "systempool" { Vec::new() } else { vec![format!("marea.dev/pool={name}:NoSchedule")] },
        os_disk_gib: None,
        subnet: None,
        surge: 1,
    }
}

pub fn deployment(name: &str, cpu: &str, memory: &str, limit: Option<&str>) -> Value {
    let mut resources = json!({"requests": {"cpu": cpu, "memory": memory}});
    if let Some(limit) = limit {
        resources["limits"] = json!({"cpu": limit});
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "platform"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"marea.dev/pool": name},
                    "tolerations": [{"key": "marea.dev/pool", "operator": "Equal", "value": name, "effect": "NoSchedule"}],
                    "containers": [{
                        "name": name, "image": format!("registry/{name}:1"), "resources": resources,
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 2},
                    }],
                },
            },
        },
    })
}

pub fn autoscaler(name: &str, min: u32, max: u32, targets: &[(&str, u32)]) -> Value {
    let metric = |(resource, percent): &(&str, u32)| json!({"type": "Resource", "resource": {"name": resource, "target": {"type": "Utilization", "averageUtilization": percent}}});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name, "namespace": "platform"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": min, "maxReplicas": max, "metrics": targets.iter().map(metric).collect::<Vec<_>>(),
        },
    })
}

pub fn budget(name: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name, "namespace": "platform"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}},
    })
}

pub fn of(pools: Vec<Pool>, manifests: &[Value]) -> Platform {
    let values: Vec<&Value> = manifests.iter().collect();
    let mut platform = Platform::new(&[], &values);
    platform.pools = pools;
    platform.cluster.name = "marea".to_owned();
    platform.cluster.location = "eastus".to_owned();
    platform.cluster.tier = "Free".to_owned();
    platform.cluster.autoscaler.expander = Some("least-waste".to_owned());
    platform.database = Some(Database {
        name: "db".to_owned(),
        location: "eastus".to_owned(),
        size: "Standard_B1ms".to_owned(),
        tier: "Burstable".to_owned(),
        storage_gib: Some(32),
        ..Database::default()
    });
    platform
}

/// The seed's platform, without what runs on the system pool.
pub fn seed() -> Platform {
    of(
        vec![
            pool("systempool", "Standard_B2s", Scaling::Fixed(1)),
            pool("frontend", "Standard_B2s", Scaling::Between { min: 1, max: 3 }),
            pool("backend", "Standard_B2s", Scaling::Between { min: 1, max: 5 }),
        ],
        &[
            deployment("backend", "500m", "256Mi", Some("1")),
            autoscaler("backend", 2, 10, &[("cpu", 70), ("memory", 80)]),
            budget("backend"),
            deployment("frontend", "100m", "64Mi", Some("500m")),
            autoscaler("frontend", 1, 5, &[("cpu", 60)]),
            budget("frontend"),
        ],
    )
}
