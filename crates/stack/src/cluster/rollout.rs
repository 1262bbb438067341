//! Waiting until what was applied runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::applyset;
use super::client::{Cluster, ClusterError};
use super::kinds::kind;
use crate::report::Reporter;

#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{deployment} is not rolled out {after_s} s after it was applied: {reason}")]
    NotReady { deployment: String, after_s: u64, reason: String },
}

/// Waits until every Deployment of the set has rolled out.
///
/// # Errors
/// When one reports that it makes no progress, or `patience` is over; the reason names what its pods wait for.
pub async fn wait_for_rollouts(
    cluster: &Cluster,
    patience: Duration,
    reporter: &dyn Reporter,
) -> Result<(), RolloutError> {
    let Some(deployments) = kind("apps/v1", "Deployment") else { return Ok(()) };
    let selector = format!("{}={}", applyset::PART_OF, applyset::id());
    let start = Instant::now();
    let mut pause = Duration::from_millis(25);
    loop {
        let items = cluster.list(deployments, &selector).await?;
        let waiting: Vec<(&Value, Progress)> =
            items.iter().map(|item| (item, progress(item))).filter(|(_, progress)| !progress.done).collect();
        let Some((first, state)) = waiting.first() else { return Ok(()) };
        let stuck = waiting
            .iter()
            .find(|(_, progress)| progress.failed)
            .or_else(|| (start.elapsed() > patience).then_some(&waiting[0]));
        if let Some((deployment, _)) = stuck {
            let reason = explain(cluster, deployment).await?;
            return Err(RolloutError::NotReady {
                deployment: name(deployment),
                after_s: start.elapsed().as_secs(),
                reason,
            });
        }
        reporter.status(&format!(
            "deploy: waiting for {} ({}/{} ready){}",
            name(first),
            state.ready,
            state.wanted,
            others(waiting.len() - 1)
        ));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
}

fn others(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

fn name(deployment: &Value) -> String {
    let metadata = &deployment["metadata"];
    format!("{}/{}", metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str().unwrap_or_default())
}

#[derive(Debug, PartialEq)]
struct Progress {
    done: bool,
    failed: bool,
    ready: u64,
    wanted: u64,
}

/// The rules of `kubectl rollout status` (v1.36, `polymorphichelpers/rollout_status.go`).
fn progress(deployment: &Value) -> Progress {
    let status = &deployment["status"];
    let count = |name: &str| status[name].as_u64().unwrap_or_default();
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let observed = status["observedGeneration"].as_u64() >= deployment["metadata"]["generation"].as_u64();
    let updated = count("updatedReplicas");
    let complete = updated >= wanted && count("replicas") <= updated && count("availableReplicas") >= updated;
    let failed = status["conditions"].as_array().is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded")
    });
    Progress { done: observed && complete, failed: observed && failed, ready: count("readyReplicas"), wanted }
}

/// What the Deployment's pods wait for, in their own words.
async fn explain(cluster: &Cluster, deployment: &Value) -> Result<String, ClusterError> {
    let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object();
    let selector = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect::<Vec<_>>()
        .join(",");
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods?labelSelector={}",
        selector.replace('/', "%2F").replace('=', "%3D").replace(',', "%2C")
    );
    let pods = cluster.get(&path).await?.unwrap_or_default();
    let mut reasons: Vec<String> = pods["items"].as_array().into_iter().flatten().filter_map(pod_reason).collect();
    reasons.sort();
    reasons.dedup();
    if reasons.is_empty() {
        let conditions = deployment["status"]["conditions"].as_array();
        let message = conditions.into_iter().flatten().rev().find_map(|condition| condition["message"].as_str());
        return Ok(message.unwrap_or("it has no pods yet").to_owned());
    }
    reasons.truncate(3);
    Ok(reasons.join("; "))
}

fn pod_reason(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str()?;
    let status = &pod["status"];
    for container in status["containerStatuses"].as_array().into_iter().flatten() {
        let container_name = container["name"].as_str().unwrap_or_default();
        if let Some(reason) = container["state"]["waiting"]["reason"].as_str() {
            let message = container["state"]["waiting"]["message"]
                .as_str()
                .or_else(|| container["lastState"]["terminated"]["message"].as_str());
            return Some(format!(
                "pod {name}, container {container_name}: {reason}{}",
                message.map(|text| format!(": {text}")).unwrap_or_default()
            ));
        }
        if container["ready"] == false {
            return Some(format!("pod {name}, container {container_name}: it runs but is not ready"));
        }
    }
    let unscheduled = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    unscheduled.and_then(|condition| condition["message"].as_str()).map(|message| format!("pod {name}: {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: Value, done: bool, failed: bool) {
        let deployment = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let found = progress(&deployment);
        assert_eq!((found.done, found.failed), (done, failed), "{deployment}");
    }

    #[test]
    fn a_rollout_is_done_when_only_new_replicas_are_available() {
        let all = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2});
        check(all, true, false);
        check(
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
            false,
            false,
        );
        check(
            json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}),
            false,
            false,
        );
        check(
            json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}),
            false,
            true,
        );
        check(json!({}), false, false);
    }

    #[test]
    fn a_pod_says_what_it_waits_for() {
        let waiting = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{"name": "c", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}]}});
        assert_eq!(pod_reason(&waiting).unwrap(), "pod p, container c: CrashLoopBackOff: back-off 10s");
        let unscheduled = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}});
        assert_eq!(pod_reason(&unscheduled).unwrap(), "pod p: 0/3 nodes are available");
    }
}
