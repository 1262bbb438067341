//! The Node object of a machine, with what AKS puts on it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Node;
use platform::Size;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::machines::MachineError;
use super::naming;

/// An agent pool, as far as its machines are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    pub vm_size: String,
    /// `System` or `User`.
    pub mode: String,
    pub max_pods: u32,
    pub labels: BTreeMap<String, String>,
    /// `key=value:Effect`
    pub taints: Vec<String>,
    /// First address of the pool's subnet; machines get virtual addresses in its first /24.
    pub subnet: Ipv4Addr,
    pub node_image_version: String,
    /// ARM id of the cluster.
    pub cluster_id: String,
    /// `MC_<group>_<cluster>_<location>`
    pub node_resource_group: String,
    pub location: String,
    /// `v1.36.3`
    pub kubelet_version: String,
}

/// Where one machine's addresses are; absent for a template of machines to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub address: Ipv4Addr,
    pub pods: Ipv4Addr,
}

impl Pool {
    /// # Errors
    /// When the size is unknown or a taint is malformed.
    pub fn check(&self) -> Result<(), MachineError> {
        self.size()?;
        self.taints.iter().try_for_each(|taint| parse_taint(taint).map(drop))
    }

    pub(crate) fn size(&self) -> Result<Size, MachineError> {
        Size::find(&self.vm_size)
            .ok_or_else(|| MachineError::UnknownSize { pool: self.name.clone(), size: self.vm_size.clone() })
    }

    pub(crate) fn scale_set(&self) -> String {
        naming::scale_set(&self.name, &self.cluster_id)
    }

    /// A machine of this pool before any pod runs on it: what the autoscaler plans with.
    ///
    /// # Errors
    /// As [`Pool::check`].
    pub fn template(&self) -> Result<Node, MachineError> {
        let value = self.node("template", 0, None)?;
        serde_json::from_value(value)
            .map_err(|error| MachineError::Template { pool: self.name.clone(), reason: error.to_string() })
    }

    /// The object that the machine's kubelet registers.
    pub(crate) fn node(&self, name: &str, instance: u32, place: Option<Place>) -> Result<Value, MachineError> {
        let size = self.size()?;
        let scale_set = self.scale_set();
        let subscription = self.cluster_id.split('/').nth(2).unwrap_or_default();
        let provider = format!(
            "azure:///subscriptions/{subscription}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/{instance}",
            self.node_resource_group.to_lowercase()
        );
        let taints: Vec<Value> = self.taints.iter().map(|taint| parse_taint(taint)).collect::<Result<_, _>>()?;
        let mut spec = json!({"providerID": provider});
        if !taints.is_empty() {
            spec["taints"] = json!(taints);
        }
        if let Some(place) = place {
            spec["podCIDR"] = json!(format!("{}/24", place.pods));
            spec["podCIDRs"] = json!([format!("{}/24", place.pods)]);
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": self.machine(size).labels(name), "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
            "spec": spec,
            "status": self.status(name, size, place),
        }))
    }

    fn machine(&self, size: Size) -> platform::Machine<'_> {
        platform::Machine {
            pool: &self.name,
            size,
            mode: &self.mode,
            max_pods: self.max_pods,
            labels: &self.labels,
            location: &self.location,
            node_resource_group: &self.node_resource_group,
            node_image_version: &self.node_image_version,
        }
    }

    fn status(&self, name: &str, size: Size, place: Option<Place>) -> Value {
        let machine = self.machine(size);
        let addresses = place.map(|place| {
            json!([{"type": "InternalIP", "address": place.address.to_string()}, {"type": "Hostname", "address": name}])
        });
        json!({
            "capacity": machine.capacity(),
            "allocatable": machine.allocatable(),
            "addresses": addresses.unwrap_or_else(|| json!([])),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": size.architecture,
                "bootID": format!("{:016x}", naming::hash(name)),
                "containerRuntimeVersion": "marea://none",
                "kernelVersion": "embedded",
                "kubeProxyVersion": "",
                "kubeletVersion": self.kubelet_version,
                "machineID": format!("{:016x}", naming::hash(name)),
                "operatingSystem": "linux",
                "osImage": "marea embedded cloud",
                "systemUUID": format!("{:016x}", naming::hash(name)),
            },
        })
    }
}

fn parse_taint(text: &str) -> Result<Value, MachineError> {
    platform::taint(text).ok_or_else(|| MachineError::Taint(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn pool() -> Pool {
        Pool {
            name: "backend".into(),
            vm_size: "Standard_B2s".into(),
            mode: "User".into(),
            max_pods: 250,
            labels: BTreeMap::from([("marea.dev/pool".into(), "backend".into())]),
            taints: vec!["marea.dev/pool=backend:NoSchedule".into()],
            subnet: Ipv4Addr::new(10, 224, 2, 0),
            node_image_version: "AKSUbuntu-2404gen2containerd-202607.17.0".into(),
            cluster_id:
                "/subscriptions/s/resourceGroups/marea-base/providers/Microsoft.ContainerService/managedClusters/marea"
                    .into(),
            node_resource_group: "MC_marea-base_marea_eastus".into(),
            location: "eastus".into(),
            kubelet_version: "v1.36.3".into(),
        }
    }

    #[test]
    fn a_node_carries_its_pools_labels_and_taints() {
        let node = pool().template().unwrap();
        let labels = node.metadata.labels.unwrap();
        assert_eq!(labels["marea.dev/pool"], "backend");
        assert_eq!(labels["node.kubernetes.io/instance-type"], "Standard_B2s");
        let taint = &node.spec.unwrap().taints.unwrap()[0];
        assert_eq!(
            (taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()),
            ("marea.dev/pool", Some("backend"), "NoSchedule")
        );
        assert_eq!(node.status.unwrap().allocatable.unwrap()["cpu"].0, "1900m");
    }

    #[test]
    fn unknown_sizes_and_malformed_taints_are_refused() {
        let unknown = Pool { vm_size: "Standard_Z9".into(), ..pool() };
        assert!(unknown.check().unwrap_err().to_string().contains("Standard_Z9"));
        let malformed = Pool { taints: vec!["a=b".into()], ..pool() };
        assert!(malformed.check().unwrap_err().to_string().contains("`a=b`"));
    }
}
