//! The HPA from usage to replicas, and its decisions in the flight recorder.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube_server::{Client, DecisionFilter};
use serde_json::json;

use crate::autoscaling::{check_replay, has_event, ready};
use crate::harness::{Cluster, deployment, pods};

fn replicas(client: &Client) -> i32 {
    client
        .get::<Deployment>(Some("default"), "web")
        .and_then(|deployment| deployment.spec.as_ref()?.replicas)
        .unwrap_or(0)
}

async fn autoscaled(cluster: &Cluster) {
    cluster.create::<Deployment>(deployment("web", 2, "web:1", "100m")).await;
    cluster.create::<HorizontalPodAutoscaler>(json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}],
            "behavior": {
                "scaleUp": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]},
                "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]},
            },
        },
    })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_follow_the_load_up_and_down() {
    let cluster = Cluster::start().await;
    cluster.add_node("node-a", "4").await;
    cluster.agent.set_total_cpu(100);
    autoscaled(&cluster).await;
    cluster.until("two ready pods", |client| ready(client, "web") == 2).await;
    cluster.agent.set_total_cpu(5000);
    let seen = tokio::spawn({
        let client = cluster.client.clone();
        let mut changes = client.subscribe();
        async move {
            let mut seen = BTreeSet::new();
            while changes.recv().await.is_ok() {
                seen.insert(replicas(&client));
                if replicas(&client) == 10 {
                    break;
                }
            }
            seen
        }
    });
    cluster.until("ten replicas", |client| ready(client, "web") == 10).await;
    // 100 % per second doubles each time, and ten is the most.
    assert_eq!(seen.await.unwrap(), BTreeSet::from([2, 4, 8, 10]));
    cluster.agent.set_total_cpu(100);
    cluster.until("two replicas", |client| replicas(client) == 2 && pods(client, "web").len() == 2).await;
    cluster
        .until("events", |client| {
            has_event(
                client,
                "SuccessfulRescale",
                "New size: 4; reason: cpu resource utilization (percentage of request) above target",
            ) && has_event(client, "SuccessfulRescale", "New size: 2; reason: All metrics below target")
        })
        .await;
    let hpa = cluster.client.get::<HorizontalPodAutoscaler>(Some("default"), "web").unwrap();
    let conditions = hpa.status.as_ref().unwrap().conditions.clone().unwrap_or_default();
    assert!(
        conditions.iter().any(|one| one.type_ == "ScalingActive" && one.reason.as_deref() == Some("ValidMetricFound"))
    );

    let source = cluster.controllers.decision_source();
    let filter = DecisionFilter { kind: Some("hpa".into()), object: Some("web".into()), ..DecisionFilter::default() };
    let acted: Vec<String> =
        source.decisions(&filter).into_iter().filter(|one| one.acted).map(|one| one.summary).collect();
    assert!(acted.iter().any(|summary| summary.contains("from 2 to 4")), "{acted:?}");
    let waiting = source.decisions(&filter).windows(2).filter(|pair| !pair[0].acted && !pair[1].acted).count();
    assert_eq!(waiting, 0, "of several that change nothing only the newest is kept");
    check_replay(&cluster, &["hpa", "pods", "pools"]);
}
