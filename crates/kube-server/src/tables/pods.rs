//! How a pod is summed up in a row.

use serde_json::{Value, json};
use units::Timestamp;

use super::columns::{age_column, name, shown, text, wide};
use super::{Column, age};
use crate::json;

pub static POD: [Column; 9] = [
    name(),
    text("Ready", |o, _| {
        let ready = json::items(o, "/status/containerStatuses").iter().filter(|c| json::flag(c, "/ready")).count();
        json!(format!("{ready}/{}", json::items(o, "/spec/containers").len()))
    }),
    text("Status", |o, _| json!(status(o))),
    text("Restarts", restarts),
    age_column(),
    wide("IP", |o, _| shown(json::text(o, "/status/podIP"))),
    wide("Node", |o, _| shown(json::text(o, "/spec/nodeName"))),
    wide("Nominated Node", |o, _| shown(json::text(o, "/status/nominatedNodeName"))),
    wide("Readiness Gates", |o, _| {
        let gates = json::items(o, "/spec/readinessGates");
        let met =
            gates.iter().filter(|g| has_condition(o, json::text(g, "/conditionType").unwrap_or_default())).count();
        json!(if gates.is_empty() { "<none>".to_owned() } else { format!("{met}/{}", gates.len()) })
    }),
];

fn has_condition(pod: &Value, kind: &str) -> bool {
    json::items(pod, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
}

fn terminated_reason(terminated: &Value) -> String {
    if let Some(reason) = json::text(terminated, "/reason").filter(|r| !r.is_empty()) {
        return reason.to_owned();
    }
    match json::integer(terminated, "/signal").filter(|s| *s != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!("ExitCode:{}", json::integer(terminated, "/exitCode").unwrap_or(0)),
    }
}

/// The first init container that is not through, as `Init:1/2` or with its reason.
fn init_status(pod: &Value) -> Option<String> {
    let total = json::items(pod, "/spec/initContainers").len();
    for (index, container) in json::items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let state = &container["state"];
        if let Some(terminated) = state.get("terminated") {
            if json::integer(terminated, "/exitCode") == Some(0) {
                continue;
            }
            return Some(format!("Init:{}", terminated_reason(terminated)));
        }
        let restartable =
            json::items(pod, "/spec/initContainers").get(index).is_some_and(|c| c["restartPolicy"] == "Always");
        if restartable && json::flag(container, "/started") {
            continue;
        }
        return Some(match json::text(state, "/waiting/reason").filter(|r| !r.is_empty() && *r != "PodInitializing") {
            Some(reason) => format!("Init:{reason}"),
            None => format!("Init:{index}/{total}"),
        });
    }
    None
}

fn container_status(pod: &Value, mut reason: String) -> String {
    let mut running = false;
    for container in json::items(pod, "/status/containerStatuses").iter().rev() {
        let state = &container["state"];
        if let Some(waiting) = json::text(state, "/waiting/reason").filter(|r| !r.is_empty()) {
            reason = waiting.to_owned();
        } else if let Some(terminated) = state.get("terminated") {
            reason = terminated_reason(terminated);
        } else if json::flag(container, "/ready") && state.get("running").is_some() {
            running = true;
        }
    }
    if reason == "Completed" && running {
        reason = if has_condition(pod, "Ready") { "Running".to_owned() } else { "NotReady".to_owned() };
    }
    reason
}

pub fn status(pod: &Value) -> String {
    let phase = json::text(pod, "/status/phase").unwrap_or_default().to_owned();
    let reason = json::text(pod, "/status/reason").filter(|r| !r.is_empty()).map_or(phase.clone(), str::to_owned);
    let gated = json::items(pod, "/status/conditions")
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
    let reason = if gated { "SchedulingGated".to_owned() } else { reason };
    let shown = init_status(pod).unwrap_or_else(|| container_status(pod, reason.clone()));
    if !json::is_terminating(pod) {
        return shown;
    }
    match json::text(pod, "/status/reason") {
        Some("NodeLost") => "Unknown".to_owned(),
        _ if matches!(phase.as_str(), "Succeeded" | "Failed") => shown,
        _ => "Terminating".to_owned(),
    }
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let statuses = json::items(pod, "/status/containerStatuses");
    let count: i64 = statuses.iter().filter_map(|c| json::integer(c, "/restartCount")).sum();
    let last = statuses.iter().filter_map(|c| json::text(c, "/lastState/terminated/finishedAt")).max();
    match last {
        Some(at) if count > 0 => json!(format!("{count} ({} ago)", age(Some(at), now))),
        _ => json!(count.to_string()),
    }
}
