//! Nodes, and the pools that they make.

use super::{Objects, quantities};
use backend_api::cluster::{Node, NodePhase, Pod, PodPhase, Pool, Resources};
use k8s_openapi::api::core::v1;
use std::collections::BTreeMap;

/// The platform's own label first, then AKS's.
const POOL_LABELS: [&str; 3] = ["marea.dev/pool", "kubernetes.azure.com/agentpool", "agentpool"];
/// The cluster autoscaler puts it on a node that it is about to remove.
const LEAVING_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

pub fn all(objects: &Objects, pods: &[Pod]) -> Vec<Node> {
    let mut on_node: BTreeMap<&str, (u32, Resources)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)) {
        if let Some(node) = &pod.node {
            let (count, requested) = on_node.entry(node).or_default();
            *count += 1;
            *requested += pod.requested;
        }
    }
    let mut nodes: Vec<Node> = objects.nodes.iter().map(|node| one(node, objects, &on_node)).collect();
    nodes.sort_by(|a, b| (&a.pool, &a.name).cmp(&(&b.pool, &b.name)));
    nodes
}

fn one(node: &v1::Node, objects: &Objects, on_node: &BTreeMap<&str, (u32, Resources)>) -> Node {
    let name = node.metadata.name.clone().unwrap_or_default();
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let (pods, requested) = on_node.get(name.as_str()).copied().unwrap_or_default();
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    Node {
        pool: POOL_LABELS.iter().find_map(|key| label(key)).unwrap_or_default(),
        phase: phase(node),
        vm_size: label("node.kubernetes.io/instance-type").unwrap_or_default(),
        zone: label("topology.kubernetes.io/zone"),
        address: addresses
            .into_iter()
            .find(|address| address.type_ == "InternalIP")
            .map(|address| address.address.clone()),
        pods,
        pods_allocatable: allocatable.map_or(0, |list| quantities::count(list, "pods")),
        allocatable: allocatable.map(quantities::resources).unwrap_or_default(),
        requested,
        used: objects.node_usage.get(&name).copied(),
        created_at: node.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
        name,
    }
}

fn phase(node: &v1::Node) -> NodePhase {
    let spec = node.spec.as_ref();
    let leaving = spec.is_some_and(|spec| spec.taints.iter().flatten().any(|taint| taint.key == LEAVING_TAINT));
    if node.metadata.deletion_timestamp.is_some() || leaving {
        return NodePhase::Leaving;
    }
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if !conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
        return NodePhase::NotReady;
    }
    match spec.and_then(|spec| spec.unschedulable) {
        Some(true) => NodePhase::Cordoned,
        _ => NodePhase::Ready,
    }
}

/// Expects nodes sorted by pool; a pool without nodes is not in the cluster's API and so not in the list.
pub fn pools(nodes: &[Node]) -> Vec<Pool> {
    let mut pools: BTreeMap<&str, Pool> = BTreeMap::new();
    for node in nodes {
        let pool = pools.entry(&node.pool).or_insert_with(|| Pool {
            name: node.pool.clone(),
            vm_size: node.vm_size.clone(),
            ..Pool::default()
        });
        pool.nodes += 1;
        pool.nodes_ready += u32::from(matches!(node.phase, NodePhase::Ready | NodePhase::Cordoned));
        pool.pods += node.pods;
        pool.allocatable += node.allocatable;
        pool.requested += node.requested;
        if let Some(used) = node.used {
            *pool.used.get_or_insert_default() += used;
        }
    }
    pools.into_values().collect()
}
