//! Workloads, from manifests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;
use units::{Bytes, Millicores, Quantity};

use crate::{objects, selector};

#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Index into [`crate::Platform::objects`].
    pub object: usize,
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
    pub selector: LabelSelector,
    /// What each pod is made of.
    pub template: PodTemplateSpec,
}

impl Workload {
    /// `None` for other kinds and for specs that the type does not admit.
    pub(crate) fn read(object: usize, manifest: &Value) -> Option<Workload> {
        let kind =
            manifest["kind"].as_str().filter(|kind| ["Deployment", "StatefulSet", "DaemonSet"].contains(kind))?;
        let spec = &manifest["spec"];
        let template = PodTemplateSpec::deserialize(&spec["template"]).ok()?;
        let pod = template.spec.as_ref()?;
        let (cpu, memory) = requests(pod);
        let (namespace, name) = objects::identity(manifest)?;
        Some(Workload {
            object,
            namespace,
            name,
            kind: kind.to_owned(),
            replicas: spec["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()),
            surge: surge(spec),
            cpu,
            memory,
            required_labels: selector::required_labels(pod),
            tolerations: pod.tolerations.clone().unwrap_or_default(),
            selector: LabelSelector::deserialize(&spec["selector"]).unwrap_or_default(),
            template,
        })
    }

    pub fn pod_spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.template.spec.as_ref().unwrap_or(&EMPTY)
    }

    pub fn pod_labels(&self) -> &BTreeMap<String, String> {
        static EMPTY: BTreeMap<String, String> = BTreeMap::new();
        self.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()).unwrap_or(&EMPTY)
    }

    /// One of its pods, not placed yet, as its controller would make it.
    pub fn pod(&self, name: &str) -> Pod {
        let kind = if self.kind == "Deployment" { "ReplicaSet" } else { &self.kind };
        let owner = OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name: self.name.clone(),
            uid: format!("{}/{}/{}", self.kind, self.namespace, self.name),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let template = self.template.metadata.clone().unwrap_or_default();
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: template.labels,
            annotations: template.annotations,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        Pod { metadata, spec: self.template.spec.clone(), status: None }
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
