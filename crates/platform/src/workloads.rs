//! Workloads, from manifests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;
use units::{Bytes, Millicores, Quantity};

use crate::{objects, prometheus, selector};

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
    /// Pods beyond the declared replicas during an update.
    pub surge: u32,
    /// As the manifest has it: a number, a percentage, or null.
    pub max_surge: Value,
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
    /// `None` for other kinds and for specs that the type does not admit. A `Prometheus` is read as the StatefulSet that its
    /// operator makes.
    pub(crate) fn read(object: usize, manifest: &Value) -> Option<Workload> {
        if manifest["kind"] == "Prometheus" {
            return Workload::read(object, &prometheus::stateful_set(manifest)?);
        }
        let kind =
            manifest["kind"].as_str().filter(|kind| ["Deployment", "StatefulSet", "DaemonSet"].contains(kind))?;
        let spec = &manifest["spec"];
        let mut template = PodTemplateSpec::deserialize(&spec["template"]).ok()?;
        default_requests(template.spec.as_mut()?);
        let pod = template.spec.as_ref()?;
        let (cpu, memory) = requests(pod);
        let (namespace, name) = objects::identity(manifest)?;
        let replicas = spec["replicas"].as_u64().and_then(|count| u32::try_from(count).ok());
        let max_surge = &spec["strategy"]["rollingUpdate"]["maxSurge"];
        Some(Workload {
            object,
            namespace,
            name,
            kind: kind.to_owned(),
            replicas,
            surge: surge(max_surge, kind, replicas.unwrap_or(1)),
            max_surge: max_surge.clone(),
            cpu,
            memory,
            required_labels: selector::required_labels(pod),
            tolerations: pod.tolerations.clone().unwrap_or_default(),
            selector: LabelSelector::deserialize(&spec["selector"]).unwrap_or_default(),
            template,
        })
    }

    /// Pods beyond so many replicas during an update: a percentage counts of them.
    pub fn surge_at(&self, replicas: u32) -> u32 {
        surge(&self.max_surge, &self.kind, replicas)
    }

    /// `key=value:Effect`
    pub fn tolerates(&self, taint: &str) -> bool {
        selector::tolerates(&self.tolerations, taint)
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

/// A limit is the request too where there is none, as the API server has it (`SetDefaults_Pod` of pkg/apis/core/v1, v1.36).
fn default_requests(pod: &mut PodSpec) {
    let init = pod.init_containers.iter_mut().flatten();
    for resources in pod.containers.iter_mut().chain(init).filter_map(|container| container.resources.as_mut()) {
        for (name, limit) in resources.limits.clone().into_iter().flatten() {
            resources.requests.get_or_insert_default().entry(name).or_insert(limit);
        }
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

/// An absolute `maxSurge`; a percentage counts of the replicas, rounded up, and the API's default is 25 %. Only Deployments have
/// one by default.
fn surge(setting: &Value, kind: &str, replicas: u32) -> u32 {
    let replicas = u64::from(replicas);
    let surge = match setting {
        Value::Number(count) => count.as_u64().unwrap_or(0),
        Value::String(text) => text
            .strip_suffix('%')
            .and_then(|percent| percent.parse::<u64>().ok())
            .map_or(0, |percent| replicas.saturating_mul(percent).div_ceil(100)),
        _ if kind == "Deployment" => replicas.div_ceil(4),
        _ => 0,
    };
    u32::try_from(surge).unwrap_or(u32::MAX)
}
