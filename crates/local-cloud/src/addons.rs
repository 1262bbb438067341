//! AKS's own add-ons in `kube-system`, which take their share of every node before anybody's pods do.
//!
//! The embedded cloud does their work itself, so their containers only reserve (`mcr.microsoft.com/*` is a pause in
//! `local/images.yaml`). Requests are those of AKS 1.30 to 1.32 as `kubectl describe node` shows them, the containers of a pod
//! added up; the set is that of Azure CNI overlay with the Cilium data plane, which has no kube-proxy. Cilium's own pods
//! request nothing there that is documented, so they are left out: a real node has a little less room than this one.

use futures::future::try_join_all;
use kube_server::client::PatchKind;
use kube_server::{ApiError, Client};
use serde_json::{Value, json};

const NAMESPACE: &str = "kube-system";
const MANAGER: &str = "addon-manager";

/// What runs one pod a node, and what runs a number of pods on the system pool.
#[derive(Clone, Copy)]
enum Shape {
    EveryNode,
    SystemPool { replicas: u32 },
}

struct Addon {
    name: &'static str,
    image: &'static str,
    shape: Shape,
    cpu_millicores: u32,
    memory_mebibytes: u32,
}

const ADDONS: [Addon; 10] = [
    node("azure-cns", "containernetworking/azure-cns", 40, 250),
    node("azure-ip-masq-agent", "aks/ip-masq-agent-v2", 100, 50),
    node("cloud-node-manager", "oss/kubernetes/azure-cloud-node-manager", 50, 50),
    node("csi-azuredisk-node", "oss/kubernetes-csi/azuredisk-csi", 30, 60),
    node("csi-azurefile-node", "oss/kubernetes-csi/azurefile-csi", 30, 60),
    system("coredns", "oss/kubernetes/coredns", 2, 100, 70),
    system("coredns-autoscaler", "oss/kubernetes/autoscaler/cluster-proportional-autoscaler", 1, 20, 10),
    system("konnectivity-agent", "oss/kubernetes/apiserver-network-proxy/agent", 2, 20, 20),
    system("konnectivity-agent-autoscaler", "oss/kubernetes/autoscaler/cluster-proportional-autoscaler", 1, 20, 10),
    system("metrics-server", "oss/kubernetes/metrics-server", 2, 156, 134),
];

const fn node(name: &'static str, image: &'static str, cpu_millicores: u32, memory_mebibytes: u32) -> Addon {
    Addon { name, image, shape: Shape::EveryNode, cpu_millicores, memory_mebibytes }
}

const fn system(
    name: &'static str,
    image: &'static str,
    replicas: u32,
    cpu_millicores: u32,
    memory_mebibytes: u32,
) -> Addon {
    Addon { name, image, shape: Shape::SystemPool { replicas }, cpu_millicores, memory_mebibytes }
}

/// Puts the add-ons into the cluster, or back to what they are.
///
/// # Errors
/// When the API refuses one, for instance because the disk is full.
pub(crate) async fn reconcile(client: &Client) -> Result<(), ApiError> {
    let client = client.with_manager(MANAGER);
    let applied = ADDONS.iter().map(|addon| {
        let (client, object) = (client.clone(), manifest(addon));
        async move {
            client
                .patch_raw(resource(addon), Some(NAMESPACE), addon.name, PatchKind::Apply { force: true }, &object)
                .await
        }
    });
    try_join_all(applied).await.map(drop)
}

fn resource(addon: &Addon) -> &'static str {
    match addon.shape {
        Shape::EveryNode => "daemonsets.apps",
        Shape::SystemPool { .. } => "deployments.apps",
    }
}

fn manifest(addon: &Addon) -> Value {
    let labels = json!({"k8s-app": addon.name});
    let metadata = json!({
        "name": addon.name,
        "namespace": NAMESPACE,
        "labels": {"k8s-app": addon.name, "addonmanager.kubernetes.io/mode": "Reconcile", "kubernetes.azure.com/managedby": "aks"},
    });
    let pod = |priority: &str, placement: Value| {
        let mut spec = json!({
            "priorityClassName": priority,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": addon.name,
                "image": format!("mcr.microsoft.com/{}", addon.image),
                "resources": {"requests": {"cpu": format!("{}m", addon.cpu_millicores), "memory": format!("{}Mi", addon.memory_mebibytes)}},
            }],
        });
        if let (Some(spec), Value::Object(placement)) = (spec.as_object_mut(), placement) {
            spec.extend(placement);
        }
        json!({"metadata": {"labels": labels}, "spec": spec})
    };
    match addon.shape {
        Shape::EveryNode => json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": pod("system-node-critical", json!({"tolerations": [{"operator": "Exists"}]})),
            },
        }),
        Shape::SystemPool { replicas } => json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": pod("system-cluster-critical", json!({
                    "nodeSelector": {"kubernetes.azure.com/mode": "system"},
                    "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
                })),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard_B2s with 60 pods a node: AKS leaves 1,900 millicores and about 2.9 GiB.
    #[test]
    fn the_system_pool_has_room_for_the_platform_beside_the_add_ons() {
        let total = |pick: fn(&Addon) -> u32| -> u32 {
            ADDONS
                .iter()
                .map(|addon| match addon.shape {
                    Shape::EveryNode => pick(addon),
                    Shape::SystemPool { replicas } => replicas * pick(addon),
                })
                .sum()
        };
        assert_eq!((total(|addon| addon.cpu_millicores), total(|addon| addon.memory_mebibytes)), (842, 938));
    }

    #[test]
    fn every_image_is_one_that_the_catalogue_pauses() {
        for addon in &ADDONS {
            let image = manifest(addon)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
            assert!(image.as_str().is_some_and(|image| image.starts_with("mcr.microsoft.com/")), "{image}");
        }
    }
}
