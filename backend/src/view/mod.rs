//! From Kubernetes objects to what the console shows. Pure: objects in, [`Snapshot`] out.
pub mod diff;
mod events;
pub mod hpas;
mod nodes;
mod pods;
mod quantities;
#[cfg(test)]
mod tests;

use backend_api::cluster::{Cluster, Gap, NodePhase, PodPhase, Resources};
use backend_api::hpa::Reason;
use backend_api::stacks::{Preview, StackRecord};
use backend_api::stream::Snapshot;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that was read from the cluster.
#[derive(Default)]
pub struct Objects {
    pub cluster_name: String,
    pub version: Option<String>,
    pub nodes: Vec<Arc<v1::Node>>,
    pub pods: Vec<Arc<v1::Pod>>,
    pub hpas: Vec<Arc<HorizontalPodAutoscaler>>,
    pub events: Vec<Arc<v1::Event>>,
    pub stacks: Vec<StackRecord>,
    pub preview: Option<Preview>,
    /// By `namespace/name` of the pod.
    pub pod_usage: BTreeMap<String, Resources>,
    pub node_usage: BTreeMap<String, Resources>,
    /// By `namespace/name` of the autoscaler, newest first; empty where there is no flight recorder.
    pub reasons: BTreeMap<String, Vec<Reason>>,
    pub gaps: Vec<Gap>,
}

/// Lists are sorted, so that equal clusters give equal snapshots.
pub fn snapshot(objects: &Objects) -> Snapshot {
    let pods = pods::all(objects);
    let nodes = nodes::all(objects, &pods);
    let count = |phase: &dyn Fn(PodPhase) -> bool| pods.iter().filter(|pod| phase(pod.phase)).count() as u32;
    let cluster = Cluster {
        name: objects.cluster_name.clone(),
        version: objects.version.clone(),
        nodes: nodes.len() as u32,
        nodes_ready: nodes.iter().filter(|node| matches!(node.phase, NodePhase::Ready | NodePhase::Cordoned)).count()
            as u32,
        pods: pods.len() as u32,
        pods_ready: count(&|phase| phase == PodPhase::Ready),
        pods_pending: count(&|phase| matches!(phase, PodPhase::Unscheduled | PodPhase::Starting)),
        gaps: objects.gaps.clone(),
    };
    Snapshot {
        revision: 0,
        cluster,
        pools: nodes::pools(&nodes),
        hpas: hpas::all(objects),
        stacks: objects.stacks.clone(),
        preview: objects.preview.clone(),
        events: events::newest(&objects.events),
        nodes,
        pods,
    }
}

fn namespaced(namespace: Option<&str>, name: &str) -> String {
    format!("{}/{name}", namespace.unwrap_or_default())
}
