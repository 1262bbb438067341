//! Setting what configuration rules in a Deployment and in its HPA.

use serde_json::{Value, json};
use stack::cluster::Manifest;

use crate::config::{Metric, Scaling, Workload};

/// The first container carries the workload's image, port and probes.
pub(crate) fn set_deployment(manifest: &mut Manifest, workload: &Workload) {
    let container = &mut manifest.value["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(workload.image);
    container["ports"][0]["containerPort"] = json!(workload.port);
    for (probe, path) in [
        ("startupProbe", &workload.liveness_path),
        ("livenessProbe", &workload.liveness_path),
        ("readinessProbe", &workload.readiness_path),
    ] {
        if let Some(found) = container.pointer_mut(&format!("/{probe}/httpGet/path")) {
            *found = json!(path);
        }
    }
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        if variable["name"] == "BIND_ADDRESS" {
            variable["value"] = json!(format!("$(POD_IP):{}", workload.port));
        }
    }
}

pub(crate) fn set_autoscaler(manifest: &mut Manifest, scaling: &Scaling) {
    let spec = &mut manifest.value["spec"];
    spec["minReplicas"] = json!(scaling.min);
    spec["maxReplicas"] = json!(scaling.max);
    let metric = |(metric, percent): (&Metric, &u32)| {
        let name = match metric {
            Metric::Cpu => "cpu",
            Metric::Memory => "memory",
        };
        json!({"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}}})
    };
    spec["metrics"] = Value::Array(scaling.targets.iter().map(metric).collect());
    if let Some(behavior) = &scaling.behavior {
        spec["behavior"] = json!(behavior);
    }
}

/// Sets the version of every container whose image has this repository.
pub(crate) fn set_version(manifest: &mut Manifest, repository: &str, version: &str) -> bool {
    let mut found = false;
    for container in
        manifest.value.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten()
    {
        let fits = container["image"]
            .as_str()
            .is_some_and(|image| image.rsplit_once(':').map_or(image, |(name, _)| name) == repository);
        if fits {
            container["image"] = json!(format!("{repository}:{version}"));
            found = true;
        }
    }
    found
}

/// A pod reads ConfigMaps and Secrets when it starts; a digest in the template makes a change of theirs a rollout.
pub(crate) fn set_config_digest(manifest: &mut Manifest, digest: &str) {
    manifest.value["spec"]["template"]["metadata"]["annotations"]["marea.dev/config-digest"] = json!(digest);
}
