//! The Node object of a pool's machine, with what AKS puts on it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Map, Value, json};

use crate::{Platform, Pool, Size};

/// A machine that does not exist yet, as its kubelet would register it.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine<'a> {
    pub pool: &'a str,
    pub size: Size,
    /// `System` or `User`
    pub mode: &'a str,
    pub max_pods: u32,
    pub labels: &'a BTreeMap<String, String>,
    pub location: &'a str,
    /// `MC_<group>_<cluster>_<location>`
    pub node_resource_group: &'a str,
    pub node_image_version: &'a str,
}

impl Machine<'_> {
    pub fn labels(&self, name: &str) -> Map<String, Value> {
        let mode = self.mode.to_lowercase();
        let fixed = [
            ("agentpool", self.pool),
            ("beta.kubernetes.io/arch", self.size.architecture),
            ("beta.kubernetes.io/instance-type", self.size.name),
            ("beta.kubernetes.io/os", "linux"),
            ("failure-domain.beta.kubernetes.io/region", self.location),
            ("failure-domain.beta.kubernetes.io/zone", "0"),
            ("kubernetes.azure.com/agentpool", self.pool),
            ("kubernetes.azure.com/cluster", self.node_resource_group),
            ("kubernetes.azure.com/mode", mode.as_str()),
            ("kubernetes.azure.com/node-image-version", self.node_image_version),
            ("kubernetes.azure.com/os-sku", "Ubuntu"),
            ("kubernetes.azure.com/podnetwork-type", "overlay"),
            ("kubernetes.azure.com/role", "agent"),
            ("kubernetes.io/arch", self.size.architecture),
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("node.kubernetes.io/instance-type", self.size.name),
            ("topology.kubernetes.io/region", self.location),
            ("topology.kubernetes.io/zone", "0"),
        ];
        let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), json!(value)));
        fixed.chain(self.labels.iter().map(|(key, value)| (key.clone(), json!(value)))).collect()
    }

    pub fn capacity(&self) -> Value {
        self.amounts(self.size.vcpus.to_string(), self.size.memory_capacity(), "129886128Ki")
    }

    pub fn allocatable(&self) -> Value {
        let cpu = format!("{}m", self.size.cpu_allocatable().0);
        self.amounts(cpu, self.size.memory_allocatable(self.max_pods), "119703055367")
    }

    /// Storage is that of a P10 disk, AKS's default for sizes without room for an ephemeral one.
    fn amounts(&self, cpu: String, memory: units::Bytes, storage: &str) -> Value {
        json!({
            "cpu": cpu, "memory": format!("{}Ki", memory.0 / 1024), "pods": self.max_pods.to_string(),
            "ephemeral-storage": storage, "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        })
    }
}

/// `key=value:Effect` or `key:Effect` as a Node's taint; `None` when it is neither.
pub fn taint(text: &str) -> Option<Value> {
    let (left, effect) = text.rsplit_once(':')?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") || left.is_empty() {
        return None;
    }
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    let mut taint = json!({"key": key, "effect": effect});
    if !value.is_empty() {
        taint["value"] = json!(value);
    }
    Some(taint)
}

impl Platform {
    /// A ready node of a pool with nothing on it. `None` when the size is not in the table.
    pub fn node(&self, pool: &Pool, name: &str) -> Option<Node> {
        let location = self.cluster.location.as_str();
        let group = format!("MC_marea-base_{}_{location}", self.cluster.name);
        let machine = Machine {
            pool: &pool.name,
            size: pool.size()?,
            mode: if pool.system { "System" } else { "User" },
            max_pods: pool.max_pods_or_default(),
            labels: &pool.labels,
            location,
            node_resource_group: &group,
            node_image_version: "",
        };
        let taints: Vec<Value> = pool.taints.iter().filter_map(|text| taint(text)).collect();
        let mut spec = json!({"providerID": format!("azure:///{name}")});
        if !taints.is_empty() {
            spec["taints"] = json!(taints);
        }
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": machine.labels(name)},
            "spec": spec,
            "status": {
                "capacity": machine.capacity(), "allocatable": machine.allocatable(),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        serde_json::from_value(node).ok()
    }
}
