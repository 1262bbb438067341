//! Deployments, stateful sets, daemon sets, jobs and what follows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube_server::{Client, DeleteOptions, PatchKind};
use serde_json::json;

use crate::harness::{Cluster, deployment, is_ready, pods, template};

fn is_rolled_out(client: &Client, name: &str, replicas: i32) -> bool {
    let Some(deployment) = client.get::<Deployment>(Some("default"), name) else { return false };
    let status = deployment.status.clone().unwrap_or_default();
    status.observed_generation == deployment.metadata.generation
        && status.replicas.unwrap_or(0) == replicas
        && status.updated_replicas.unwrap_or(0) == replicas
        && status.available_replicas.unwrap_or(0) == replicas
        && status.conditions.iter().flatten().any(|one| one.type_ == "Available" && one.status == "True")
}

fn endpoints(client: &Client, service: &str) -> Vec<Endpoint> {
    let slices = client.list::<EndpointSlice>(Some("default"));
    let of_service = slices.iter().filter(|slice| {
        slice
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("kubernetes.io/service-name"))
            .is_some_and(|name| name == service)
    });
    of_service.flat_map(|slice| slice.endpoints.clone().unwrap_or_default()).collect()
}

fn ready_endpoints(client: &Client, service: &str) -> usize {
    endpoints(client, service)
        .iter()
        .filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true)))
        .count()
}

fn revisions(client: &Client) -> Vec<(String, i32)> {
    let mut found: Vec<(String, i32)> = client
        .list::<ReplicaSet>(Some("default"))
        .iter()
        .map(|set| {
            let revision =
                set.metadata.annotations.as_ref().and_then(|all| all.get("deployment.kubernetes.io/revision")).cloned();
            (revision.unwrap_or_default(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(-1))
        })
        .collect();
    found.sort();
    found
}

async fn patch_image(cluster: &Cluster, image: &str) {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}});
    let patched = cluster.client.patch::<Deployment>(Some("default"), "web", PatchKind::Strategic, &patch).await;
    patched.expect("the new image is accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_out_updates_and_rolls_back_without_a_gap() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster
        .create::<Service>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }))
        .await;
    cluster.create::<Deployment>(deployment("web", 4, "web:1", "100m")).await;
    cluster
        .until("the first rollout", |client| is_rolled_out(client, "web", 4) && ready_endpoints(client, "web") == 4)
        .await;

    // From here on, at every change: 25 % of 4 may be missing, and no more than one pod beyond four is asked for.
    let least = Arc::new(AtomicUsize::new(usize::MAX));
    let watcher = tokio::spawn({
        let (client, least) = (cluster.client.clone(), least.clone());
        let mut changes = client.subscribe();
        async move {
            while changes.recv().await.is_ok() {
                least.fetch_min(ready_endpoints(&client, "web"), Ordering::Relaxed);
                let asked: i32 = revisions(&client).iter().map(|(_, replicas)| replicas).sum();
                assert!(asked <= 5, "{asked} pods at once");
            }
        }
    });
    patch_image(&cluster, "web:2").await;
    cluster
        .until("the update", |client| {
            is_rolled_out(client, "web", 4) && revisions(client) == [("1".into(), 0), ("2".into(), 4)]
        })
        .await;
    patch_image(&cluster, "web:1").await;
    cluster
        .until("the way back", |client| {
            is_rolled_out(client, "web", 4) && revisions(client) == [("2".into(), 0), ("3".into(), 4)]
        })
        .await;
    assert!(!watcher.is_finished(), "the surge was exceeded");
    watcher.abort();
    assert!(least.load(Ordering::Relaxed) >= 3, "only {} endpoints were ready", least.load(Ordering::Relaxed));

    let stored = cluster.client.get::<Deployment>(Some("default"), "web").unwrap();
    assert_eq!(stored.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"], "3");
    let progressing =
        stored.status.as_ref().unwrap().conditions.iter().flatten().find(|one| one.type_ == "Progressing").unwrap();
    assert_eq!(progressing.reason.as_deref(), Some("NewReplicaSetAvailable"));
    cluster
        .until("endpoints", |client| {
            let subsets =
                client.get::<Endpoints>(Some("default"), "web").and_then(|endpoints| endpoints.subsets.clone());
            subsets.is_some_and(|subsets| subsets[0].addresses.as_ref().is_some_and(|addresses| addresses.len() == 4))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_scales_and_a_broken_update_stops_at_its_surge() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster.create::<Deployment>(deployment("web", 1, "web:1", "10m")).await;
    cluster.until("one replica", |client| is_rolled_out(client, "web", 1)).await;
    cluster.client.set_scale("deployments.apps", "default", "web", 6).await.unwrap();
    cluster.until("six replicas", |client| is_rolled_out(client, "web", 6)).await;
    cluster.client.set_scale("deployments.apps", "default", "web", 3).await.unwrap();
    cluster.until("three replicas", |client| is_rolled_out(client, "web", 3) && pods(client, "web").len() == 3).await;

    let patch = json!({"spec": {"template": {"metadata": {"labels": {"test/never-ready": "true"}}}}});
    cluster.client.patch::<Deployment>(Some("default"), "web", PatchKind::Strategic, &patch).await.unwrap();
    let unready = |client: &Client| pods(client, "web").iter().filter(|pod| !is_ready(pod)).count();
    cluster
        .until("a pod that does not become ready", |client| unready(client) == 1 && pods(client, "web").len() == 4)
        .await;
    let ready = cluster.pods("web").iter().filter(|pod| is_ready(pod)).count();
    assert_eq!(ready, 3, "the old pods stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_runs_no_two_versions_at_once() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    let mut object = deployment("web", 2, "web:1", "10m");
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    cluster.create::<Deployment>(object).await;
    cluster.until("the first version", |client| is_rolled_out(client, "web", 2)).await;
    let mixed = tokio::spawn({
        let client = cluster.client.clone();
        let mut changes = client.subscribe();
        async move {
            while changes.recv().await.is_ok() {
                let images: std::collections::BTreeSet<_> = pods(&client, "web")
                    .iter()
                    .map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone())
                    .collect();
                assert!(images.len() <= 1, "two versions at once: {images:?}");
            }
        }
    });
    patch_image(&cluster, "web:2").await;
    cluster
        .until("the second version", |client| {
            is_rolled_out(client, "web", 2)
                && pods(client, "web")
                    .iter()
                    .all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("web:2"))
        })
        .await;
    assert!(!mixed.is_finished());
    mixed.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminating_pod_is_no_ready_endpoint_but_still_serves() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster
        .create::<Service>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }))
        .await;
    cluster
        .create::<Pod>(json!({"metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": template("web", "web:1", "10m")["spec"]}))
        .await;
    cluster.until("the endpoint", |client| ready_endpoints(client, "web") == 1).await;
    cluster.agent.hold("web");
    cluster.client.delete::<Pod>(Some("default"), "web", &DeleteOptions::default()).await.unwrap();
    cluster
        .until("the endpoint's end", |client| {
            let conditions = endpoints(client, "web").first().and_then(|endpoint| endpoint.conditions.clone());
            conditions
                .is_some_and(|one| (one.ready, one.serving, one.terminating) == (Some(false), Some(true), Some(true)))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_runs_on_every_node_that_it_fits_and_comes_to_new_ones() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    let mut daemon = template("daemon", "daemon:1", "10m");
    daemon["spec"]["nodeSelector"] = json!({"role": "edge"});
    cluster
        .create::<DaemonSet>(json!({
            "metadata": {"name": "daemon", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "daemon"}}, "template": daemon},
        }))
        .await;
    crate::harness::add_node(&cluster.client, "edge-1", "4", json!({"role": "edge"})).await;
    crate::harness::add_node(&cluster.client, "edge-2", "4", json!({"role": "edge"})).await;
    let on = |client: &Client| {
        let mut nodes: Vec<String> = pods(client, "daemon")
            .iter()
            .filter(|pod| is_ready(pod))
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
            .collect();
        nodes.sort();
        nodes
    };
    cluster.until("a daemon on both edge nodes", |client| on(client) == ["edge-1", "edge-2"]).await;
    cluster
        .until("the status", |client| {
            let status = client
                .get::<DaemonSet>(Some("default"), "daemon")
                .and_then(|set| set.status.clone())
                .unwrap_or_default();
            (status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled) == (2, 2, Some(2))
        })
        .await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "daemon:2"}]}}}});
    cluster.client.patch::<DaemonSet>(Some("default"), "daemon", PatchKind::Strategic, &patch).await.unwrap();
    cluster
        .until("the update", |client| {
            let image = |pod: &Arc<Pod>| pod.spec.as_ref().unwrap().containers[0].image.clone();
            on(client) == ["edge-1", "edge-2"]
                && pods(client, "daemon").iter().all(|pod| image(pod).as_deref() == Some("daemon:2"))
        })
        .await;
    let patch = json!({"metadata": {"labels": {"role": null}}});
    cluster.client.patch::<Node>(None, "edge-2", PatchKind::Merge, &patch).await.unwrap();
    cluster.until("one node less", |client| on(client) == ["edge-1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_starts_in_order_and_updates_backwards() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster.agent.hold("db");
    cluster.create::<StatefulSet>(json!({
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db", "db:1", "10m")},
    })).await;
    let names =
        |client: &Client| pods(client, "db").iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>();
    cluster.until("the first pod", |client| names(client) == ["db-0"]).await;
    cluster.agent.release("db");
    cluster
        .until("all three", |client| {
            let status =
                client.get::<StatefulSet>(Some("default"), "db").and_then(|set| set.status.clone()).unwrap_or_default();
            names(client) == ["db-0", "db-1", "db-2"]
                && status.ready_replicas == Some(3)
                && status.current_revision == status.update_revision
        })
        .await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "db:2"}]}}}});
    cluster.client.patch::<StatefulSet>(Some("default"), "db", PatchKind::Strategic, &patch).await.unwrap();
    cluster
        .until("the update", |client| {
            let status =
                client.get::<StatefulSet>(Some("default"), "db").and_then(|set| set.status.clone()).unwrap_or_default();
            let new = |pod: &Arc<Pod>| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("db:2");
            pods(client, "db").len() == 3
                && pods(client, "db").iter().all(new)
                && status.current_replicas == Some(3)
                && status.ready_replicas == Some(3)
        })
        .await;
    cluster.client.set_scale("statefulsets.apps", "default", "db", 1).await.unwrap();
    cluster.until("one pod", |client| names(client) == ["db-0"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_completes_each_pod_counted_once() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    let mut work = template("work", "work:1", "10m");
    work["metadata"]["labels"]["test/exit"] = json!("Succeeded");
    work["spec"]["restartPolicy"] = json!("Never");
    cluster
        .create::<Job>(json!({
            "metadata": {"name": "work", "namespace": "default"},
            "spec": {"completions": 5, "parallelism": 2, "template": work},
        }))
        .await;
    cluster
        .until("completion", |client| {
            let status =
                client.get::<Job>(Some("default"), "work").and_then(|job| job.status.clone()).unwrap_or_default();
            status.succeeded == Some(5) && status.completion_time.is_some() && status.active.is_none()
        })
        .await;
    assert_eq!(cluster.pods("work").len(), 5);
    cluster
        .until("free pods", |client| {
            pods(client, "work").iter().all(|pod| pod.metadata.finalizers.as_ref().is_none_or(Vec::is_empty))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_job_stops_and_a_finished_one_is_deleted_in_time() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    let mut work = template("work", "work:1", "10m");
    work["metadata"]["labels"]["test/exit"] = json!("Failed");
    work["spec"]["restartPolicy"] = json!("Never");
    cluster
        .create::<Job>(json!({
            "metadata": {"name": "broken", "namespace": "default"},
            "spec": {"backoffLimit": 0, "template": work},
        }))
        .await;
    cluster
        .until("failure", |client| {
            let status =
                client.get::<Job>(Some("default"), "broken").and_then(|job| job.status.clone()).unwrap_or_default();
            status.failed == Some(1)
                && status
                    .conditions
                    .iter()
                    .flatten()
                    .any(|one| one.type_ == "Failed" && one.reason.as_deref() == Some("BackoffLimitExceeded"))
        })
        .await;
    let patch = json!({"spec": {"ttlSecondsAfterFinished": 0}});
    cluster.client.patch::<Job>(Some("default"), "broken", PatchKind::Merge, &patch).await.unwrap();
    cluster
        .until("the job's and its pod's end", |client| {
            client.list::<Job>(None).is_empty() && pods(client, "work").is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cron_job_starts_what_is_overdue_once() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    let mut work = template("tick", "tick:1", "10m");
    work["metadata"]["labels"]["test/exit"] = json!("Succeeded");
    work["spec"]["restartPolicy"] = json!("Never");
    let created = cluster
        .create::<CronJob>(json!({
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "* * * * *", "suspend": true, "jobTemplate": {"spec": {"template": work}}},
        }))
        .await;
    // As if it had last run an hour ago.
    let hour_ago =
        units::Timestamp::from(created.metadata.creation_timestamp.unwrap().0) - units::Millis::from_secs(3600);
    let status = json!({"status": {"lastScheduleTime": hour_ago.rfc3339()}});
    cluster.client.patch_status::<CronJob>(Some("default"), "tick", &status).await.unwrap();
    cluster
        .client
        .patch::<CronJob>(Some("default"), "tick", PatchKind::Merge, &json!({"spec": {"suspend": false}}))
        .await
        .unwrap();
    cluster
        .until("one finished job", |client| {
            let status =
                client.get::<CronJob>(Some("default"), "tick").and_then(|cron| cron.status.clone()).unwrap_or_default();
            status.last_successful_time.is_some()
                && status.last_schedule_time.is_some_and(|time| units::Timestamp::from(time.0) > hour_ago)
        })
        .await;
    // The minute may have ended meanwhile, but sixty missed runs are not made up for.
    assert!(cluster.client.list::<Job>(None).len() <= 2);
}
