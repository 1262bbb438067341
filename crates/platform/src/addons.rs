//! The pods that AKS itself runs in `kube-system`, as far as they take room from everybody else's.
//!
//! Requests are those of AKS 1.30 to 1.32 as `kubectl describe node` shows them, the containers of a pod added up; the set is that
//! of Azure CNI overlay with the Cilium data plane, which has no kube-proxy. Cilium's agent asks for memory only and its operator
//! for nothing (Azure/AKS#5244). AKS changes them with its releases, so they are a measured constant and no promise.

use serde_json::{Value, json};

use crate::{Platform, Workload};

const NAMESPACE: &str = "kube-system";

/// One of AKS's daemon sets or deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddOn {
    pub name: &'static str,
    /// Below `mcr.microsoft.com/`.
    image: &'static str,
    /// On the system pool; `None` for one on every node.
    pub replicas: Option<u32>,
    pub cpu_millicores: u32,
    pub memory_mib: u32,
}

const fn node(name: &'static str, image: &'static str, cpu_millicores: u32, memory_mib: u32) -> AddOn {
    AddOn { name, image, replicas: None, cpu_millicores, memory_mib }
}

const fn system(name: &'static str, image: &'static str, replicas: u32, cpu_millicores: u32, memory_mib: u32) -> AddOn {
    AddOn { name, image, replicas: Some(replicas), cpu_millicores, memory_mib }
}

pub const ADD_ONS: [AddOn; 11] = [
    node("azure-cns", "containernetworking/azure-cns", 40, 250),
    node("azure-ip-masq-agent", "aks/ip-masq-agent-v2", 100, 50),
    node("cilium", "oss/cilium/cilium", 0, 100),
    node("cloud-node-manager", "oss/kubernetes/azure-cloud-node-manager", 50, 50),
    node("csi-azuredisk-node", "oss/kubernetes-csi/azuredisk-csi", 30, 60),
    node("csi-azurefile-node", "oss/kubernetes-csi/azurefile-csi", 30, 60),
    system("coredns", "oss/kubernetes/coredns", 2, 100, 70),
    system("coredns-autoscaler", "oss/kubernetes/autoscaler/cluster-proportional-autoscaler", 1, 20, 10),
    system("konnectivity-agent", "oss/kubernetes/apiserver-network-proxy/agent", 2, 20, 20),
    system("konnectivity-agent-autoscaler", "oss/kubernetes/autoscaler/cluster-proportional-autoscaler", 1, 20, 10),
    system("metrics-server", "oss/kubernetes/metrics-server", 2, 156, 134),
];

/// The add-ons of a cluster, for a scheduler that is to know what is left.
pub fn addons(platform: &Platform) -> Vec<Workload> {
    // Without a pool there is no cluster of AKS's whose add-ons these would be.
    if platform.pools.is_empty() {
        return Vec::new();
    }
    ADD_ONS.iter().filter_map(|addon| Workload::read(usize::MAX, &addon.manifest())).collect()
}

impl AddOn {
    /// `DaemonSet` or `Deployment`
    pub fn kind(&self) -> &'static str {
        if self.replicas.is_some() { "Deployment" } else { "DaemonSet" }
    }

    pub fn manifest(&self) -> Value {
        let labels = json!({"k8s-app": self.name});
        let mut pod = json!({
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": false,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": self.name,
                "image": format!("mcr.microsoft.com/{}", self.image),
                "resources": {"requests": {
                    "cpu": format!("{}m", self.cpu_millicores), "memory": format!("{}Mi", self.memory_mib)}},
            }],
        });
        if self.replicas.is_some() {
            pod["priorityClassName"] = json!("system-cluster-critical");
            pod["nodeSelector"] = json!({"kubernetes.azure.com/mode": "system"});
            pod["tolerations"] = json!([{"key": "CriticalAddonsOnly", "operator": "Exists"}]);
        }
        let mut manifest = json!({
            "apiVersion": "apps/v1", "kind": self.kind(),
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "labels": {
                    "k8s-app": self.name,
                    "addonmanager.kubernetes.io/mode": "Reconcile",
                    "kubernetes.azure.com/managedby": "aks",
                },
            },
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        });
        if let Some(replicas) = self.replicas {
            manifest["spec"]["replicas"] = json!(replicas);
        }
        manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard_B2s with 60 pods a node: AKS leaves 1,900 millicores and about 2.9 GiB.
    #[test]
    fn one_system_node_holds_all_of_them() {
        let total = |pick: fn(&AddOn) -> u32| -> u32 {
            ADD_ONS.iter().map(|addon| addon.replicas.unwrap_or(1) * pick(addon)).sum()
        };
        assert_eq!((total(|addon| addon.cpu_millicores), total(|addon| addon.memory_mib)), (842, 1038));
        assert!(ADD_ONS.iter().all(|addon| Workload::read(0, &addon.manifest()).is_some()));
    }
}
