//! Objects over HTTPS, with kube-rs and in process.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube_server::DeleteOptions;
use serde_json::json;

use crate::support::Cluster;

fn deployment(image: &str) -> Deployment {
    serde_json::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image, "resources": {"requests": {"cpu": "1000m"}}}]}}}}))
    .expect("a deployment")
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_creates_defaults_and_notices_conflicts() {
    let cluster = Cluster::start().await;
    let api: Api<Deployment> = Api::namespaced(cluster.admin().await, "default");
    let applied =
        api.patch("web", &PatchParams::apply("one"), &Patch::Apply(deployment("nginx:1"))).await.expect("applied");
    assert_eq!(applied.metadata.generation, Some(1));
    let spec = applied.spec.clone().expect("a spec");
    assert_eq!((spec.replicas, spec.revision_history_limit), (Some(1), Some(10)));
    let again = api
        .patch("web", &PatchParams::apply("one"), &Patch::Apply(deployment("nginx:1")))
        .await
        .expect("applied again");
    assert_eq!(again.metadata.resource_version, applied.metadata.resource_version, "an unchanged apply writes nothing");
    let error = api
        .patch("web", &PatchParams::apply("two"), &Patch::Apply(deployment("nginx:2")))
        .await
        .expect_err("a conflict");
    assert!(error.to_string().contains("conflict with \"one\""), "{error}");
    let forced = api
        .patch("web", &PatchParams::apply("two").force(), &Patch::Apply(deployment("nginx:2")))
        .await
        .expect("forced");
    assert_eq!(forced.metadata.generation, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_objects_are_refused_in_upstreams_words() {
    let cluster = Cluster::start().await;
    let api: Api<Deployment> = Api::namespaced(cluster.admin().await, "default");
    let mut wrong = deployment("nginx:1");
    wrong.spec.as_mut().expect("a spec").replicas = Some(-1);
    let error = api.create(&PostParams::default(), &wrong).await.expect_err("refused").to_string();
    let expected =
        "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    assert!(error.contains(expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let cluster = Cluster::start().await;
    let client = cluster.server.client();
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "kept"}, "data": {"a": "b"}})).expect("a config map");
    let created = client.create(Some("default"), &map).await.expect("created");
    let cluster = cluster.restart().await;
    let found = cluster.server.client().get::<ConfigMap>(Some("default"), "kept").expect("kept");
    assert_eq!(*found, created);
    let next = cluster.server.client().create(Some("kube-public"), &map).await.expect("created");
    let version =
        |m: &ConfigMap| m.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok()).expect("a version");
    assert!(version(&next) > version(&created) + 500, "a restart starts a new epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_pod_ends_after_its_grace_period_only() {
    let cluster = Cluster::start().await;
    let client = cluster.server.client();
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    )
    .expect("a pod");
    let created = client.create(Some("default"), &pod).await.expect("created");
    let spec = created.spec.expect("a spec");
    assert!(spec.volumes.is_some_and(|v| v[0].name.starts_with("kube-api-access-")), "the token is mounted");
    client.bind("default", "p", "node-1").await.expect("bound");
    assert!(client.bind("default", "p", "node-2").await.expect_err("bound already").is_conflict());
    client.delete::<Pod>(Some("default"), "p", &DeleteOptions::default()).await.expect("marked");
    let marked = client.get::<Pod>(Some("default"), "p").expect("still there");
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    client.delete::<Pod>(Some("default"), "p", &now).await.expect("removed");
    assert!(client.get::<Pod>(Some("default"), "p").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_addresses_of_their_own_and_lists_page() {
    let cluster = Cluster::start().await;
    let api: Api<Service> = Api::namespaced(cluster.admin().await, "default");
    let mut addresses = std::collections::BTreeSet::new();
    for index in 0..5 {
        let service: Service = serde_json::from_value(
            json!({"metadata": {"name": format!("s{index}")}, "spec": {"ports": [{"port": 80}]}}),
        )
        .expect("a service");
        let created = api.create(&PostParams::default(), &service).await.expect("created");
        addresses.insert(created.spec.and_then(|s| s.cluster_ip).expect("an address"));
    }
    assert_eq!(addresses.len(), 5);
    let first = api.list(&ListParams::default().limit(2)).await.expect("a page");
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(4)));
    let token = first.metadata.continue_.expect("a token");
    api.delete("s4", &DeleteParams::default()).await.expect("deleted");
    let rest = api.list(&ListParams::default().limit(10).continue_token(&token)).await.expect("the rest");
    assert_eq!(rest.items.len(), 4, "later pages show the state of the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_see_changes_in_order() {
    use futures::{StreamExt, TryStreamExt};
    let cluster = Cluster::start().await;
    let api: Api<Namespace> = Api::all(cluster.admin().await);
    let version = api.list(&ListParams::default()).await.expect("a list").metadata.resource_version.expect("a version");
    let mut events =
        api.watch(&kube::api::WatchParams::default().labels("team=a"), &version).await.expect("a watch").boxed();
    let labelled = json!({"metadata": {"name": "n", "labels": {"team": "a"}}});
    api.create(&PostParams::default(), &serde_json::from_value(labelled).expect("a namespace")).await.expect("created");
    let patch = json!({"metadata": {"labels": {"team": null}}});
    api.patch("n", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), events.try_next()).await.expect("in time");
        seen.push(match next.expect("no error").expect("an event") {
            kube::api::WatchEvent::Added(_) => "added",
            kube::api::WatchEvent::Deleted(_) => "deleted",
            _ => "other",
        });
    }
    assert_eq!(seen, ["added", "deleted"], "leaving the selection is a deletion");
}
