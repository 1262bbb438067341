//! The config map `kube-system/cluster-autoscaler-status`, which people and AKS's own tools read.

use std::fmt::Write as _;

use decide::nodes::{Decision, GroupView, Memory, Snapshot};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::Client;

use crate::error::{Context as _, Error, ignore_gone, is_not_found};
use crate::objects;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "cluster-autoscaler-status";
const UPDATED: &str = "cluster-autoscaler.kubernetes.io/last-updated";

pub(super) fn reference(client: &Client) -> ObjectReference {
    match client.get::<ConfigMap>(Some(NAMESPACE), NAME) {
        Some(map) => objects::reference(&*map),
        None => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            name: Some(NAME.to_owned()),
            ..ObjectReference::default()
        },
    }
}

/// Writes the status where it changed. Upstream writes it with every loop; here an idle cloud stays idle.
pub(super) async fn write(
    client: &Client,
    snapshot: &Snapshot,
    decision: &Decision,
    memory: &Memory,
) -> Result<(), Error> {
    let body = body(snapshot, decision, memory);
    let current = client.get::<ConfigMap>(Some(NAMESPACE), NAME);
    let written = current.as_ref().and_then(|map| map.data.as_ref()).and_then(|data| data.get("status"));
    if written.is_some_and(|text| text.split_once('\n').is_some_and(|(_, rest)| rest == body)) {
        return Ok(());
    }
    let time = snapshot.now.rfc3339();
    let data = [("status".to_owned(), format!("time: {time}\n{body}"))].into();
    let mut map = current.map(|map| (*map).clone()).unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    });
    map.data = Some(data);
    map.metadata.annotations.get_or_insert_default().insert(UPDATED.to_owned(), time);
    let outcome = if map.metadata.uid.is_some() {
        ignore_gone(client.update(&map).await).map(drop)
    } else {
        match client.create(Some(NAMESPACE), &map).await {
            // The cluster is so young that the namespace is not there yet; the next loop writes it.
            Err(error) if is_not_found(&error) => Ok(()),
            outcome => outcome.map(drop),
        }
    };
    outcome.context(|| format!("write config map {NAMESPACE}/{NAME}"))
}

/// Everything but the first line, which has the time.
fn body(snapshot: &Snapshot, decision: &Decision, memory: &Memory) -> String {
    let mut text = String::from("autoscalerStatus: Running\nnodeGroups:\n");
    for group in &snapshot.groups {
        write_group(&mut text, group, snapshot, decision, memory);
    }
    text
}

fn write_group(text: &mut String, group: &GroupView, snapshot: &Snapshot, decision: &Decision, memory: &Memory) {
    let member = |name: &str| group.instances.iter().any(|instance| instance.name == name);
    let nodes: Vec<_> = snapshot.nodes.iter().filter(|node| member(&node.name)).collect();
    let ready = nodes.iter().filter(|node| node.ready).count();
    let unregistered = group.instances.len() - nodes.len().min(group.instances.len());
    let candidates = decision.unneeded.iter().filter(|unneeded| member(&unneeded.node)).count();
    let scale_up = match (memory.scale_up_requests.get(&group.name), memory.backoffs.get(&group.name)) {
        (Some(_), _) => "InProgress",
        (None, Some(backoff)) if backoff.until >= snapshot.now => "Backoff",
        _ => "NoActivity",
    };
    let scale_down = if candidates > 0 { "CandidatesPresent" } else { "NoCandidates" };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "- name: {}\n  health:\n    status: {}\n    nodeCounts:\n      registered:\n        total: {}\n        ready: {ready}\n        notReady: {}\n      unregistered: {unregistered}\n    cloudProviderTarget: {}\n    minSize: {}\n    maxSize: {}\n  scaleUp:\n    status: {scale_up}\n  scaleDown:\n    status: {scale_down}\n    candidates: {candidates}\n",
        group.name,
        if ready == nodes.len() { "Healthy" } else { "Unhealthy" },
        nodes.len(),
        nodes.len() - ready,
        group.target_size,
        group.min,
        group.max,
    );
}
