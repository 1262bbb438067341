//! The pods that AKS itself runs, as far as they take room from everybody else's.
//!
//! Requests are those that `kubectl describe node` shows on AKS 1.3x clusters with Azure CNI; Cilium's agent asks for memory
//! only and its operator for nothing (Azure/AKS#5244). AKS changes them with its releases, so they are a measured constant and
//! no promise.

use serde_json::{Value, json};

use crate::{Platform, Workload};

struct AddOn {
    name: &'static str,
    /// `None` for one on every node.
    replicas: Option<u32>,
    cpu_millicores: u32,
    memory_mib: u32,
}

const fn on_every_node(name: &'static str, cpu_millicores: u32, memory_mib: u32) -> AddOn {
    AddOn { name, replicas: None, cpu_millicores, memory_mib }
}

const fn replicas(name: &'static str, replicas: u32, cpu_millicores: u32, memory_mib: u32) -> AddOn {
    AddOn { name, replicas: Some(replicas), cpu_millicores, memory_mib }
}

const ADD_ONS: &[AddOn] = &[
    on_every_node("azure-cns", 40, 250),
    on_every_node("azure-ip-masq-agent", 100, 50),
    on_every_node("cilium", 0, 100),
    on_every_node("cloud-node-manager", 50, 50),
    on_every_node("csi-azuredisk-node", 30, 60),
    on_every_node("csi-azurefile-node", 30, 60),
    replicas("coredns", 2, 100, 70),
    replicas("coredns-autoscaler", 1, 20, 10),
    replicas("konnectivity-agent", 2, 20, 20),
    // With its nanny, which adds a little for each node.
    replicas("metrics-server", 2, 156, 132),
];

/// AKS's own daemon sets and deployments in `kube-system`, for a scheduler that is to know what is left.
pub fn addons(platform: &Platform) -> Vec<Workload> {
    // Without a pool there is no cluster of AKS's whose add-ons these would be.
    if platform.pools.is_empty() {
        return Vec::new();
    }
    ADD_ONS.iter().filter_map(|addon| Workload::read(usize::MAX, &addon.manifest())).collect()
}

impl AddOn {
    fn manifest(&self) -> Value {
        let labels = json!({"k8s-app": self.name});
        let mut tolerations = vec![json!({"key": "CriticalAddonsOnly", "operator": "Exists"})];
        let mut spec = json!({
            "priorityClassName": "system-node-critical",
            "containers": [{"name": self.name, "resources": {"requests": {
                "cpu": format!("{}m", self.cpu_millicores), "memory": format!("{}Mi", self.memory_mib)}}}],
        });
        match self.replicas {
            None => tolerations = vec![json!({"operator": "Exists"})],
            // AKS prefers system pools; user pools with a taint are closed to these anyway.
            Some(_) => {
                let expression = json!({"key": "kubernetes.azure.com/mode", "operator": "In", "values": ["system"]});
                spec["affinity"] = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "preference": {"matchExpressions": [expression]}}]}});
            }
        }
        spec["tolerations"] = json!(tolerations);
        let mut manifest = json!({
            "apiVersion": "apps/v1",
            "kind": if self.replicas.is_some() { "Deployment" } else { "DaemonSet" },
            "metadata": {"name": self.name, "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        });
        if let Some(replicas) = self.replicas {
            manifest["spec"]["replicas"] = json!(replicas);
        }
        manifest
    }
}
