//! The scheduler, the cluster autoscaler and the flight recorder.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube_server::{Client, DecisionFilter};
use serde_json::json;

use crate::harness::{Cluster, create, deployment, is_ready, pods, template};

pub fn ready(client: &Client, app: &str) -> usize {
    pods(client, app).iter().filter(|pod| is_ready(pod)).count()
}

pub fn has_event(client: &Client, reason: &str, part: &str) -> bool {
    client.list::<Event>(None).iter().any(|event| {
        event.reason.as_deref() == Some(reason)
            && event.message.as_deref().is_some_and(|message| message.contains(part))
    })
}

/// Every decision in the journal comes out the same when it is made again.
pub fn check_replay(cluster: &Cluster, kinds: &[&str]) {
    let summary = kube_controllers::replay(cluster.journal.path()).expect("the journal is readable");
    if let Some(difference) = summary.differences.first() {
        panic!(
            "{} {} differs:\nlive   {}\nreplay {}",
            difference.kind, difference.object, difference.recorded, difference.repeated
        );
    }
    for kind in kinds {
        assert!(summary.repeated.get(*kind).is_some_and(|count| *count > 0), "no {kind} in {:?}", summary.repeated);
    }
}

/// The amounts keep chance out: a node whose pods fit nowhere is not looked at again for five minutes, as upstream has
/// it, and a scan may fall between any two bindings or deletions. So `web` fits beside no pod of `batch`, a node with a
/// pod of `batch` is used too much to go, and one that it has left is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_for_pending_pods_and_go_when_they_are_not_needed() {
    let cluster = Cluster::start().await;
    cluster.groups.define(1, 4, "1").await;
    cluster.create::<Deployment>(deployment("web", 2, "web:1", "250m")).await;
    cluster.until("two pods on the first node", |client| ready(client, "web") == 2).await;
    assert_eq!(cluster.groups.size(), 1);
    cluster.create::<Deployment>(deployment("batch", 3, "batch:1", "800m")).await;
    cluster.until("three more pods on as many nodes", |client| ready(client, "batch") == 3).await;
    assert_eq!(cluster.groups.size(), 4);
    cluster
        .until("the events of growth", |client| {
            has_event(client, "TriggeredScaleUp", "pod triggered scale-up: [{backend 1->")
                && has_event(client, "FailedScheduling", "Insufficient cpu")
        })
        .await;
    cluster.client.set_scale("deployments.apps", "default", "batch", 0).await.unwrap();
    let groups = cluster.groups.clone();
    cluster.until("one node", move |client| groups.size() == 1 && ready(client, "web") == 2).await;
    cluster
        .until("the events of shrinking", |client| {
            has_event(client, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
        })
        .await;
    cluster
        .until("the status", |client| {
            let map = client.get::<ConfigMap>(Some("kube-system"), "cluster-autoscaler-status");
            map.and_then(|map| map.data.clone()).is_some_and(|data| data["status"].contains("cloudProviderTarget: 1"))
        })
        .await;
    let filter =
        DecisionFilter { kind: Some("pool".into()), object: Some("backend".into()), ..DecisionFilter::default() };
    let acted: Vec<String> = cluster
        .controllers
        .decision_source()
        .decisions(&filter)
        .into_iter()
        .filter(|one| one.acted)
        .map(|one| one.summary)
        .collect();
    assert!(acted.iter().any(|summary| summary.contains("grows from 1 to")), "{acted:?}");
    assert!(acted.iter().any(|summary| summary.contains("shrinks from")), "{acted:?}");
    check_replay(&cluster, &["pods", "pools"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_use_is_drained_within_the_disruption_budget() {
    let cluster = Cluster::start().await;
    cluster.groups.define(2, 4, "1").await;
    cluster.create::<Deployment>(deployment("web", 2, "web:1", "400m")).await;
    cluster
        .create::<PodDisruptionBudget>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    cluster
        .until("a pod on each node", |client| {
            let pods = pods(client, "web");
            let nodes: BTreeSet<_> =
                pods.iter().filter_map(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())).collect();
            ready(client, "web") == 2 && nodes.len() == 2
        })
        .await;
    cluster
        .until("a budget that lets one go", |client| {
            let budget = client.get::<PodDisruptionBudget>(Some("default"), "web");
            budget.and_then(|one| one.status.clone()).is_some_and(|status| status.disruptions_allowed == Some(1))
        })
        .await;
    cluster.groups.set_min(1);
    let groups = cluster.groups.clone();
    cluster.until("one node", move |client| groups.size() == 1 && ready(client, "web") == 2).await;
    cluster
        .until("the events of the drain", |client| has_event(client, "ScaleDown", "deleting pod for node scale down"))
        .await;
    check_replay(&cluster, &["pods", "pools"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_may_not_grow_backs_off_and_says_so() {
    let cluster = Cluster::start().await;
    cluster.groups.define(1, 4, "1").await;
    cluster.groups.refuse();
    cluster.create::<Deployment>(deployment("web", 3, "web:1", "400m")).await;
    cluster
        .until("the failure", |client| has_event(client, "FailedToScaleUpGroup", "exceeding approved Cores quota"))
        .await;
    cluster.until("two pods that fit", |client| ready(client, "web") == 2).await;
    assert_eq!(cluster.groups.size(), 1);
    cluster
        .until("the back-off in the status", |client| {
            let map = client.get::<ConfigMap>(Some("kube-system"), "cluster-autoscaler-status");
            map.and_then(|map| map.data.clone()).is_some_and(|data| data["status"].contains("status: Backoff"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_important_pod_takes_the_place_of_another() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "1").await;
    create::<PriorityClass>(&cluster.client, json!({"metadata": {"name": "important"}, "value": 1000})).await;
    cluster
        .create::<Pod>(json!({"metadata": {"name": "humble", "namespace": "default", "labels": {"app": "web"}},
        "spec": template("web", "web:1", "800m")["spec"]}))
        .await;
    cluster.until("the first pod", |client| ready(client, "web") == 1).await;
    let mut spec = template("boss", "web:1", "800m")["spec"].clone();
    spec["priorityClassName"] = json!("important");
    cluster
        .create::<Pod>(
            json!({"metadata": {"name": "boss", "namespace": "default", "labels": {"app": "boss"}}, "spec": spec}),
        )
        .await;
    cluster
        .until("the important pod", |client| {
            pods(client, "boss").iter().any(|pod| is_ready(pod))
                && client.get::<Pod>(Some("default"), "humble").is_none()
        })
        .await;
    cluster.until("the event", |client| has_event(client, "Preempted", "on node node-a")).await;
    check_replay(&cluster, &["pods"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_fits_nowhere_waits_with_its_reason_and_starts_when_a_node_comes() {
    let cluster = Cluster::start().await;
    cluster.add_node("small", "1").await;
    cluster.create::<Deployment>(deployment("web", 1, "web:1", "1500m")).await;
    cluster
        .until("the reason", |client| {
            pods(client, "web").iter().any(|pod| {
                pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|one| {
                    one.type_ == "PodScheduled"
                        && one.reason.as_deref() == Some("Unschedulable")
                        && one
                            .message
                            .as_deref()
                            .is_some_and(|text| text.starts_with("0/1 nodes are available: 1 Insufficient cpu."))
                })
            })
        })
        .await;
    cluster.add_node("large", "2").await;
    cluster.until("the pod on the new node", |client| ready(client, "web") == 1).await;
    check_replay(&cluster, &["pods"]);
}
