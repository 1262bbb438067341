use super::*;
use backend_api::cluster::{NodePhase, PodPhase};
use backend_api::stream::Change;
use serde_json::{Value, json};

fn from<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).expect("an object of its kind"))
}

fn node(name: &str, ready: &str, more: Value) -> Arc<v1::Node> {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"agentpool": "backend", "node.kubernetes.io/instance-type": "Standard_B2s"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "1900m", "memory": "2Gi", "pods": "30"},
                   "addresses": [{"type": "InternalIP", "address": "10.224.2.4"}],
                   "conditions": [{"type": "Ready", "status": ready}]},
    });
    node["spec"] = more;
    from(node)
}

fn pod(name: &str, node: Option<&str>, status: Value) -> Arc<v1::Pod> {
    from(json!({
        "metadata": {"namespace": "platform", "name": name, "labels": {"pod-template-hash": "6f7"},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "backend-6f7", "uid": "u", "controller": true}]},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}}}]},
        "status": status,
    }))
}

fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []})
}

fn objects() -> Objects {
    Objects {
        nodes: vec![node("b-1", "True", json!({})), node("b-0", "True", json!({"unschedulable": true}))],
        pods: vec![
            pod("backend-2", Some("b-0"), ready()),
            pod("backend-1", Some("b-0"), ready()),
            pod(
                "backend-3",
                None,
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]}),
            ),
        ],
        ..Objects::default()
    }
}

#[test]
fn nodes_carry_what_their_pods_ask_for() {
    let snapshot = snapshot(&objects());
    let nodes: Vec<_> = snapshot
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.phase, node.pods, node.requested.cpu_millicores))
        .collect();
    assert_eq!(nodes, [("b-0", NodePhase::Cordoned, 2, 500), ("b-1", NodePhase::Ready, 0, 0)]);
    let [pool] = &snapshot.pools[..] else { panic!("one pool") };
    assert_eq!(
        (pool.name.as_str(), pool.nodes, pool.nodes_ready, pool.pods, pool.allocatable.cpu_millicores),
        ("backend", 2, 2, 2, 3800)
    );
    assert_eq!((snapshot.cluster.pods, snapshot.cluster.pods_ready, snapshot.cluster.pods_pending), (3, 2, 1));
}

#[test]
fn a_node_that_is_being_removed_is_leaving_even_while_it_is_ready() {
    let taint = json!({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}]});
    let nodes = vec![node("b-0", "True", taint), node("b-1", "Unknown", json!({}))];
    let phases: Vec<_> =
        snapshot(&Objects { nodes, ..Objects::default() }).nodes.iter().map(|node| node.phase).collect();
    assert_eq!(phases, [NodePhase::Leaving, NodePhase::NotReady]);
}

fn check_phase(pod: Arc<v1::Pod>, expected: PodPhase, reason: Option<&str>) {
    let snapshot = snapshot(&Objects { pods: vec![pod], ..Objects::default() });
    assert_eq!((snapshot.pods[0].phase, snapshot.pods[0].reason.as_deref()), (expected, reason));
    assert_eq!(snapshot.pods[0].workload.as_deref(), Some("Deployment/backend"));
}

#[test]
fn a_pod_is_in_the_phase_that_kubectl_would_show() {
    let waiting = |reason: &str| json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": reason}}}]});
    check_phase(pod("p", Some("n"), ready()), PodPhase::Ready, None);
    check_phase(pod("p", Some("n"), json!({"phase": "Running"})), PodPhase::Running, None);
    check_phase(pod("p", Some("n"), waiting("ContainerCreating")), PodPhase::Starting, Some("ContainerCreating"));
    check_phase(pod("p", Some("n"), waiting("CrashLoopBackOff")), PodPhase::Failing, Some("CrashLoopBackOff"));
    check_phase(
        pod("p", Some("n"), json!({"phase": "Failed", "reason": "Evicted"})),
        PodPhase::Failed,
        Some("Evicted"),
    );
    let mut leaving = (*pod("p", Some("n"), ready())).clone();
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-23T10:00:00Z")).expect("a time");
    check_phase(Arc::new(leaving), PodPhase::Terminating, None);
}

fn hpa() -> Arc<HorizontalPodAutoscaler> {
    from(json!({
        "metadata": {"namespace": "platform", "name": "backend"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "backend"}, "minReplicas": 2, "maxReplicas": 10, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "200Mi"}}}]},
        "status": {"currentReplicas": 2, "desiredReplicas": 4, "currentMetrics": [
            {"type": "Resource", "resource": {"name": "memory", "current": {"averageUtilization": 40, "averageValue": "50Mi"}}},
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 133, "averageValue": "332m"}}}],
            "conditions": [{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "m"}]},
    }))
}

#[test]
fn metrics_are_matched_by_name_and_written_as_kubectl_does() {
    let snapshot = snapshot(&Objects { hpas: vec![hpa()], ..Objects::default() });
    let metrics: Vec<_> = snapshot.hpas[0]
        .metrics
        .iter()
        .map(|metric| (metric.name.as_str(), metric.target.as_str(), metric.current.as_deref()))
        .collect();
    assert_eq!(metrics, [("cpu", "70%", Some("133%")), ("memory", "200Mi", Some("50Mi"))]);
}

#[test]
fn events_are_the_reasons_where_there_is_no_flight_recorder() {
    let event = |name: &str, about: &str, at: &str| {
        from(
            json!({"metadata": {"namespace": "platform", "name": name}, "reason": "SuccessfulRescale", "message": name, "lastTimestamp": at,
                    "involvedObject": {"kind": "HorizontalPodAutoscaler", "namespace": "platform", "name": about}}),
        )
    };
    let events = vec![
        event("older", "backend", "2026-11-23T10:00:00Z"),
        event("other", "frontend", "2026-11-23T10:00:01Z"),
        event("newer", "backend", "2026-11-23T10:00:02Z"),
    ];
    let mut objects = Objects { hpas: vec![hpa()], events, ..Objects::default() };
    let summaries = |objects: &Objects| {
        snapshot(objects).hpas[0].reasons.iter().map(|reason| reason.summary.clone()).collect::<Vec<_>>()
    };
    assert_eq!(summaries(&objects), ["newer", "older"]);
    objects.reasons.insert("platform/backend".to_owned(), Vec::new());
    assert_eq!(summaries(&objects), Vec::<String>::new());
}

#[test]
fn a_diff_names_what_is_new_different_and_gone() {
    let before = snapshot(&objects());
    assert_eq!(diff::changes(&before, &before), []);
    let mut changed = objects();
    changed.pods.remove(0);
    changed.pods.push(pod("backend-4", Some("b-1"), ready()));
    let changes = diff::changes(&before, &snapshot(&changed));
    let named: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::Pod { key, value } => format!("pod {key} {}", value.is_some()),
            Change::Node { key, value } => format!("node {key} {}", value.is_some()),
            other => panic!("unexpected: {other:?}"),
        })
        .collect();
    assert_eq!(
        named,
        ["pod platform/backend-2 false", "pod platform/backend-4 true", "node b-0 true", "node b-1 true"]
    );
}
