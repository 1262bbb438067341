//! Workloads and their autoscalers, from manifests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use serde_json::Value;
use units::{Bytes, Millicores, Quantity};

use crate::selector;

#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    pub namespace: String,
    pub name: String,
    /// `Deployment`, `StatefulSet`, `DaemonSet`
    pub kind: String,
    /// Absent where an autoscaler rules.
    pub replicas: Option<u32>,
    /// Pods beyond the replicas during an update.
    pub surge: u32,
    /// Requests of one pod.
    pub cpu: Millicores,
    pub memory: Bytes,
    /// What a node's labels must be: key → admitted values.
    pub required_labels: BTreeMap<String, Vec<String>>,
    pub tolerations: Vec<Toleration>,
}

impl Workload {
    /// `None` for other kinds and for specs that the type does not admit.
    pub(crate) fn read(manifest: &Value) -> Option<Workload> {
        let kind =
            manifest["kind"].as_str().filter(|kind| ["Deployment", "StatefulSet", "DaemonSet"].contains(kind))?;
        let spec = &manifest["spec"];
        let pod: PodSpec = serde_json::from_value(spec["template"]["spec"].clone()).ok()?;
        let (cpu, memory) = requests(&pod);
        Some(Workload {
            namespace: manifest["metadata"]["namespace"].as_str().unwrap_or("default").to_owned(),
            name: manifest["metadata"]["name"].as_str()?.to_owned(),
            kind: kind.to_owned(),
            replicas: spec["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()),
            surge: surge(spec),
            cpu,
            memory,
            required_labels: selector::required_labels(&pod),
            tolerations: pod.tolerations.unwrap_or_default(),
        })
    }
}

fn requests(pod: &PodSpec) -> (Millicores, Bytes) {
    let of = |name: &str| {
        pod.containers
            .iter()
            .filter_map(|container| {
                container.resources.as_ref()?.requests.as_ref()?.get(name)?.0.parse::<Quantity>().ok()
            })
            .collect::<Vec<_>>()
    };
    (of("cpu").into_iter().map(Quantity::millicores).sum(), of("memory").into_iter().map(Quantity::bytes).sum())
}

/// An absolute `maxSurge`; a percentage counts of the replicas, rounded up, and the API's default is 25 %.
fn surge(spec: &Value) -> u32 {
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let surge = match &spec["strategy"]["rollingUpdate"]["maxSurge"] {
        Value::Number(count) => count.as_u64().unwrap_or(0),
        Value::String(text) => text
            .strip_suffix('%')
            .and_then(|percent| percent.parse::<u64>().ok())
            .map_or(0, |percent| (replicas * percent).div_ceil(100)),
        _ => replicas.div_ceil(4),
    };
    u32::try_from(surge).unwrap_or(u32::MAX)
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    pub namespace: String,
    pub name: String,
    pub target_kind: String,
    pub target: String,
    pub min: u32,
    pub max: u32,
    /// Resource → average utilization in percent of the request.
    pub utilization_percent: BTreeMap<String, u32>,
}

impl Autoscaler {
    pub(crate) fn read(manifest: &Value) -> Option<Autoscaler> {
        if manifest["kind"] != "HorizontalPodAutoscaler" {
            return None;
        }
        let spec = &manifest["spec"];
        let count = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok());
        let metrics = spec["metrics"].as_array().into_iter().flatten();
        Some(Autoscaler {
            namespace: manifest["metadata"]["namespace"].as_str().unwrap_or("default").to_owned(),
            name: manifest["metadata"]["name"].as_str()?.to_owned(),
            target_kind: spec["scaleTargetRef"]["kind"].as_str()?.to_owned(),
            target: spec["scaleTargetRef"]["name"].as_str()?.to_owned(),
            min: count(&spec["minReplicas"]).unwrap_or(1),
            max: count(&spec["maxReplicas"])?,
            utilization_percent: metrics
                .filter_map(|metric| {
                    let resource = &metric["resource"];
                    Some((resource["name"].as_str()?.to_owned(), count(&resource["target"]["averageUtilization"])?))
                })
                .collect(),
        })
    }
}
