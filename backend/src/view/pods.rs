//! Pods.

use super::{Objects, namespaced, quantities};
use backend_api::cluster::{Pod, PodPhase, Resources};
use k8s_openapi::api::core::v1;

pub fn all(objects: &Objects) -> Vec<Pod> {
    let mut pods: Vec<Pod> = objects.pods.iter().map(|pod| one(pod, objects)).collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    pods
}

fn one(pod: &v1::Pod, objects: &Objects) -> Pod {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let status = pod.status.as_ref();
    let (phase, reason, message) = phase(pod);
    Pod {
        used: objects.pod_usage.get(&namespaced(Some(&namespace), &name)).copied(),
        workload: workload(pod),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        phase,
        reason,
        message,
        restarts: containers(pod).map(|container| u32::try_from(container.restart_count).unwrap_or(0)).sum(),
        address: status.and_then(|status| status.pod_ip.clone()),
        requested: requested(pod),
        created_at: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
        namespace,
        name,
    }
}

fn containers(pod: &v1::Pod) -> impl Iterator<Item = &v1::ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

/// What the scheduler counts, without init containers and overhead, which the platform's pods do not have.
fn requested(pod: &v1::Pod) -> Resources {
    let mut sum = Resources::default();
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        if let Some(requests) = container.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
            sum += quantities::resources(requests);
        }
    }
    sum
}

/// `Deployment/backend` for a replica set that carries the usual template hash, else the owner itself.
fn workload(pod: &v1::Pod) -> Option<String> {
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)).and_then(|name| name.strip_suffix('-'));
    match (owner.kind.as_str(), deployment) {
        ("ReplicaSet", Some(deployment)) => Some(format!("Deployment/{deployment}")),
        (kind, _) => Some(format!("{kind}/{}", owner.name)),
    }
}

fn condition<'a>(pod: &'a v1::Pod, kind: &str) -> Option<&'a v1::PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// The order is kubectl's: leaving first, then what the containers say, then the pod's own phase.
fn phase(pod: &v1::Pod) -> (PodPhase, Option<String>, Option<String>) {
    if pod.metadata.deletion_timestamp.is_some() {
        return (PodPhase::Terminating, None, None);
    }
    let status = pod.status.as_ref();
    let own_reason = status.and_then(|status| status.reason.clone());
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Succeeded") => return (PodPhase::Succeeded, own_reason, None),
        Some("Failed") => return (PodPhase::Failed, own_reason, status.and_then(|status| status.message.clone())),
        _ => {}
    }
    if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
        let unscheduled = condition(pod, "PodScheduled").filter(|condition| condition.status == "False");
        return (
            PodPhase::Unscheduled,
            unscheduled.and_then(|condition| condition.reason.clone()),
            unscheduled.and_then(|condition| condition.message.clone()),
        );
    }
    if let Some(waiting) = containers(pod).find_map(|container| container.state.as_ref()?.waiting.as_ref()) {
        let failing = waiting.reason.as_deref().is_some_and(|reason| {
            reason.ends_with("BackOff") || reason.ends_with("Error") || reason.starts_with("Err")
        });
        let phase = if failing { PodPhase::Failing } else { PodPhase::Starting };
        return (phase, waiting.reason.clone(), waiting.message.clone());
    }
    if status.and_then(|status| status.phase.as_deref()) != Some("Running") {
        return (PodPhase::Starting, own_reason, None);
    }
    match condition(pod, "Ready").is_some_and(|ready| ready.status == "True") {
        true => (PodPhase::Ready, None, None),
        false => (PodPhase::Running, None, None),
    }
}
