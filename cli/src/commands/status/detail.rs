//! Nodes, pods and events as rows, for the dashboard.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use units::Quantity;

/// The newest that are kept.
const EVENTS: usize = 200;

/// Sorted by pool and name. `usage` is what metrics.k8s.io says, empty where nothing serves it.
pub fn nodes(nodes: &[Value], pods: &[Value], usage: &[Value]) -> Value {
    let used: BTreeMap<&str, i64> = usage
        .iter()
        .filter_map(|item| Some((item["metadata"]["name"].as_str()?, millicores(&item["usage"]["cpu"])?)))
        .collect();
    let mut rows: Vec<Value> = nodes
        .iter()
        .map(|node| {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let running = |pod: &&Value| pod["spec"]["nodeName"] == name && !is_over(pod);
            json!({
                "name": name,
                "pool": super::pool_of(node),
                "state": node_state(node),
                "pods": pods.iter().filter(running).count(),
                "cpu": used.get(name),
                "cpuAllocatable": millicores(&node["status"]["allocatable"]["cpu"]),
                "created": node["metadata"]["creationTimestamp"],
            })
        })
        .collect();
    rows.sort_by_key(|row| (row["pool"].to_string(), row["name"].to_string()));
    Value::Array(rows)
}

fn millicores(value: &Value) -> Option<i64> {
    Some(value.as_str()?.parse::<Quantity>().ok()?.millicores().0)
}

/// As kubectl's STATUS column has it.
fn node_state(node: &Value) -> String {
    let ready = if super::is_ready(node) { "Ready" } else { "NotReady" };
    let cordoned = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
    format!("{ready}{cordoned}")
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Those that are not well first, then by namespace and name.
pub fn pods(pods: &[Value]) -> Value {
    let mut rows: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ready = statuses.iter().filter(|status| status["ready"] == true).count();
            let containers = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
            let restarts: u64 = statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum();
            json!({
                "namespace": pod["metadata"]["namespace"],
                "name": pod["metadata"]["name"],
                "node": pod["spec"]["nodeName"],
                "state": pod_state(pod, statuses),
                "ready": format!("{ready}/{containers}"),
                "well": ready == containers && pod["metadata"]["deletionTimestamp"].is_null() || is_over(pod),
                "restarts": restarts,
                "created": pod["metadata"]["creationTimestamp"],
            })
        })
        .collect();
    rows.sort_by_key(|row| (row["well"] == true, row["namespace"].to_string(), row["name"].to_string()));
    Value::Array(rows)
}

/// As kubectl's STATUS column has it, containers of the main list only.
fn pod_state(pod: &Value, statuses: &[Value]) -> String {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".to_owned();
    }
    let waiting = statuses.iter().find_map(|status| status["state"]["waiting"]["reason"].as_str());
    let scheduled = pod["status"]["conditions"].as_array().into_iter().flatten();
    let unschedulable = scheduled
        .filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .find_map(|condition| condition["reason"].as_str());
    waiting.or(unschedulable).or(pod["status"]["phase"].as_str()).unwrap_or("Unknown").to_owned()
}

/// The newest first.
pub fn events(events: &[Value]) -> Value {
    let mut rows: Vec<Value> = events
        .iter()
        .map(|event| {
            let times = ["lastTimestamp", "eventTime", "firstTimestamp"].map(|name| &event[name]);
            let at = times.into_iter().find(|time| time.is_string()).unwrap_or(&event["metadata"]["creationTimestamp"]);
            let object = &event["involvedObject"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            json!({
                "at": at,
                "type": event["type"],
                "reason": event["reason"],
                "object": format!("{}/{}", kind(&text(&object["kind"])), text(&object["name"])),
                "message": event["message"],
                "count": event["count"],
            })
        })
        .collect();
    rows.sort_by(|a, b| b["at"].as_str().cmp(&a["at"].as_str()));
    rows.truncate(EVENTS);
    Value::Array(rows)
}

/// kubectl's short name where the whole one would fill the column.
fn kind(kind: &str) -> String {
    match kind {
        "HorizontalPodAutoscaler" => "hpa".to_owned(),
        "PodDisruptionBudget" => "pdb".to_owned(),
        other => other.to_lowercase(),
    }
}

/// The condition that says most about why an autoscaler stands where it does: no metrics, then a bound, then the last word on scaling.
pub fn hpa_reason(hpa: &Value) -> Option<String> {
    let conditions = hpa["status"]["conditions"].as_array()?;
    let find = |kind: &str, status: &str| {
        conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == status)
    };
    let telling = find("ScalingActive", "False")
        .or_else(|| find("AbleToScale", "False"))
        .or_else(|| find("ScalingLimited", "True"))
        .or_else(|| find("AbleToScale", "True"))?;
    Some(format!("{}: {}", telling["reason"].as_str()?, telling["message"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_are_not_well_come_first() {
        let pod = |name: &str, status: Value, deleted: Value| json!({"metadata": {"name": name, "namespace": "platform", "deletionTimestamp": deleted}, "spec": {"nodeName": "n", "containers": [{}]}, "status": status});
        let ready = json!({"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 2}]});
        let found = pods(&[
            pod("a", ready.clone(), Value::Null),
            pod(
                "b",
                json!({"phase": "Pending", "containerStatuses": [{"ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                Value::Null,
            ),
            pod("c", ready, json!("2026-11-25T10:00:00Z")),
            pod(
                "d",
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}),
                Value::Null,
            ),
            pod("e", json!({"phase": "Succeeded", "containerStatuses": [{"ready": false}]}), Value::Null),
        ]);
        let rows: Vec<String> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                format!(
                    "{} {} {} {}",
                    row["name"].as_str().unwrap(),
                    row["state"].as_str().unwrap(),
                    row["ready"].as_str().unwrap(),
                    row["restarts"]
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                "b CrashLoopBackOff 0/1 0",
                "c Terminating 1/1 2",
                "d Unschedulable 0/1 0",
                "a Running 1/1 2",
                "e Succeeded 0/1 0"
            ]
        );
    }

    #[test]
    fn nodes_carry_their_use() {
        let node = json!({"metadata": {"name": "n", "labels": {"marea.dev/pool": "backend"}}, "spec": {"unschedulable": true},
            "status": {"allocatable": {"cpu": "1900m"}, "conditions": [{"type": "Ready", "status": "True"}]}});
        let pod = |phase: &str| json!({"spec": {"nodeName": "n"}, "status": {"phase": phase}});
        let usage = [json!({"metadata": {"name": "n"}, "usage": {"cpu": "421337u"}})];
        let found = nodes(&[node], &[pod("Running"), pod("Succeeded")], &usage);
        assert_eq!(
            found[0],
            json!({"name": "n", "pool": "backend", "state": "Ready,SchedulingDisabled", "pods": 1, "cpu": 422, "cpuAllocatable": 1900, "created": null})
        );
    }

    #[test]
    fn events_are_sorted_by_whichever_time_they_have() {
        let event = |name: &str, time: &str, at: &str| json!({"metadata": {}, time: at, "reason": name, "involvedObject": {"kind": "Pod", "name": "p"}});
        let found = events(&[
            event("first", "eventTime", "2026-11-25T10:00:00.000001Z"),
            event("second", "lastTimestamp", "2026-11-25T10:00:01Z"),
        ]);
        assert_eq!((&found[0]["reason"], &found[1]["reason"]), (&json!("second"), &json!("first")));
        assert_eq!(found[0]["object"], "pod/p");
    }

    #[test]
    fn an_autoscaler_s_reason_is_the_most_telling_condition() {
        let check = |conditions: Value, expected: Option<&str>| {
            assert_eq!(hpa_reason(&json!({"status": {"conditions": conditions}})).as_deref(), expected);
        };
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "m"});
        let able = condition("AbleToScale", "True", "ReadyForNewScale");
        check(json!([able, condition("ScalingLimited", "True", "TooManyReplicas")]), Some("TooManyReplicas: m"));
        check(json!([able, condition("ScalingLimited", "False", "DesiredWithinRange")]), Some("ReadyForNewScale: m"));
        check(
            json!([able, condition("ScalingActive", "False", "FailedGetResourceMetric")]),
            Some("FailedGetResourceMetric: m"),
        );
        check(json!([]), None);
    }
}
