//! What happens to objects whose owner, namespace or node goes, and what a disruption budget forbids.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube_controllers::Config;
use kube_server::{Client, DeleteOptions};
use serde_json::{Value, json};
use units::Millis;

use crate::harness::{Cluster, create, deployment, is_ready, pods, quick};

fn propagation(kind: &str) -> DeleteOptions {
    DeleteOptions { propagation: Some(kind.to_owned()), ..DeleteOptions::default() }
}

async fn with_deployment() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster.create::<Deployment>(deployment("web", 2, "web:1", "10m")).await;
    cluster.until("two pods", |client| pods(client, "web").iter().filter(|pod| is_ready(pod)).count() == 2).await;
    cluster
}

fn nothing_left(client: &Client) -> bool {
    client.list::<Deployment>(None).is_empty()
        && client.list::<ReplicaSet>(None).is_empty()
        && pods(client, "web").is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_deployment_owned_goes_in_the_background() {
    let cluster = with_deployment().await;
    cluster.client.delete::<Deployment>(Some("default"), "web", &propagation("Background")).await.unwrap();
    assert!(cluster.client.get::<Deployment>(Some("default"), "web").is_none());
    cluster.until("everything to go", nothing_left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_foreground_the_owner_goes_last() {
    let cluster = with_deployment().await;
    let watcher = tokio::spawn({
        let client = cluster.client.clone();
        let mut changes = client.subscribe();
        async move {
            while changes.recv().await.is_ok() {
                let owned = client.list::<ReplicaSet>(None).len() + pods(&client, "web").len();
                let has_owner = client.get::<Deployment>(Some("default"), "web").is_some();
                assert!(has_owner || owned == 0, "{owned} dependents outlived their owner");
            }
        }
    });
    cluster.client.delete::<Deployment>(Some("default"), "web", &propagation("Foreground")).await.unwrap();
    cluster.until("everything to go", nothing_left).await;
    assert!(!watcher.is_finished(), "an owner went before its dependents");
    watcher.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_stay_and_are_adopted_by_the_next_owner() {
    let cluster = with_deployment().await;
    let set = cluster.client.list::<ReplicaSet>(None).remove(0);
    cluster.client.delete::<Deployment>(Some("default"), "web", &propagation("Orphan")).await.unwrap();
    cluster.until("the deployment to go", |client| client.list::<Deployment>(None).is_empty()).await;
    let owners = |client: &Client| {
        client.list::<ReplicaSet>(None)[0].metadata.owner_references.clone().unwrap_or_default().len()
    };
    cluster.until("an ownerless replica set", |client| owners(client) == 0).await;
    assert_eq!(cluster.pods("web").len(), 2);
    cluster.create::<Deployment>(deployment("web", 2, "web:1", "10m")).await;
    cluster.until("adoption", |client| owners(client) == 1).await;
    let sets = cluster.client.list::<ReplicaSet>(None);
    assert_eq!((sets.len(), sets[0].metadata.uid.clone()), (1, set.metadata.uid.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    create::<Namespace>(&cluster.client, json!({"metadata": {"name": "team"}})).await;
    cluster
        .until("the root certificate", |client| client.get::<ConfigMap>(Some("team"), "kube-root-ca.crt").is_some())
        .await;
    cluster
        .until("the account", |client| {
            client.get::<k8s_openapi::api::core::v1::ServiceAccount>(Some("team"), "default").is_some()
        })
        .await;
    let mut object = deployment("web", 2, "web:1", "10m");
    object["metadata"]["namespace"] = json!("team");
    create::<Deployment>(&cluster.client, object).await;
    cluster
        .until("two pods", |client| client.list::<Pod>(Some("team")).iter().filter(|pod| is_ready(pod)).count() == 2)
        .await;
    cluster.client.delete::<Namespace>(None, "team", &DeleteOptions::default()).await.unwrap();
    cluster
        .until("the namespace to go", |client| {
            client.get::<Namespace>(None, "team").is_none() && client.list::<Pod>(Some("team")).is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_forbids_the_eviction_that_would_break_it() {
    let cluster = with_deployment().await;
    cluster
        .create::<PodDisruptionBudget>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    let allowed = |client: &Client| {
        client
            .get::<PodDisruptionBudget>(Some("default"), "web")
            .and_then(|budget| budget.status.as_ref()?.disruptions_allowed)
    };
    cluster.until("one allowed disruption", |client| allowed(client) == Some(1)).await;
    let names: Vec<String> = cluster.pods("web").iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
    // No replacement becomes ready, so that the first eviction uses the budget up.
    cluster.agent.hold("web");
    cluster.client.evict("default", &names[0]).await.expect("the budget allows one");
    let refused = cluster.client.evict("default", &names[1]).await.expect_err("the budget is used up");
    assert_eq!(refused.reason(), "TooManyRequests");
    cluster.until("no allowed disruption", |client| allowed(client) == Some(0)).await;
    cluster.agent.release("web");
    cluster.until("a budget again", |client| allowed(client) == Some(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_tainted_and_its_pods_go_elsewhere() {
    let mut config: Config = quick();
    config.nodes.grace = Millis(1500);
    let cluster = Cluster::with(config).await;
    cluster.add_node("alive", "4").await;
    let heartbeat = tokio::spawn({
        let client = cluster.client.clone();
        async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(300));
            for beat in 0.. {
                tick.tick().await;
                let lease = json!({"spec": {"renewTime": format!("2026-01-01T00:{:02}:{:02}.000000Z", beat / 60 % 60, beat % 60)}});
                let resource = "leases.coordination.k8s.io";
                if client
                    .patch_raw(resource, Some("kube-node-lease"), "alive", kube_server::PatchKind::Merge, &lease)
                    .await
                    .is_err()
                {
                    let object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "alive"}, "spec": {}});
                    let _ = client.create_raw(resource, Some("kube-node-lease"), object).await;
                }
            }
        }
    });
    cluster.add_node("silent", "4").await;
    let mut object = deployment("web", 1, "web:1", "10m");
    let short = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0});
    object["spec"]["template"]["spec"]["tolerations"] =
        json!([short("node.kubernetes.io/unreachable"), short("node.kubernetes.io/not-ready")]);
    let prefer = json!({"weight": 100, "preference": {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["silent"]}]}});
    object["spec"]["template"]["spec"]["affinity"] =
        json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefer]}});
    cluster.create::<Deployment>(object).await;
    cluster
        .until("the taint", |client| {
            let node = client.get::<Node>(None, "silent").unwrap();
            node.spec
                .iter()
                .flat_map(|spec| spec.taints.iter().flatten())
                .any(|taint| taint.key == "node.kubernetes.io/unreachable" && taint.effect == "NoExecute")
        })
        .await;
    cluster
        .until("the pod on the other node", |client| {
            let pods = pods(client, "web");
            pods.len() == 1
                && is_ready(&pods[0])
                && pods[0].spec.as_ref().unwrap().node_name.as_deref() == Some("alive")
        })
        .await;
    heartbeat.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_counts_what_is_there() {
    let cluster = with_deployment().await;
    cluster.create::<ResourceQuota>(json!({
        "metadata": {"name": "team", "namespace": "default"},
        "spec": {"hard": {"pods": "10", "requests.cpu": "1", "requests.memory": "1Gi", "count/deployments.apps": "5"}},
    })).await;
    cluster.until("the counts", |client| {
        let quota = client.get::<ResourceQuota>(Some("default"), "team").unwrap();
        let used = quota.status.as_ref().and_then(|status| status.used.clone());
        serde_json::to_value(used).unwrap_or(Value::Null)
            == json!({"count/deployments.apps": "1", "pods": "2", "requests.cpu": "20m", "requests.memory": "128Mi"})
    })
    .await;
}
