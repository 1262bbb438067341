//! The pod's status from what its containers do (pkg/kubelet/kubelet_pods.go and status/generate.go of Kubernetes 1.36).

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::{Value, json};
use units::Timestamp;

use super::container::{ContainerState, Role, Run, Terminated};
use super::qos;

/// What the status is made of besides the containers.
pub(crate) struct Inputs<'a> {
    pub pod: &'a Pod,
    pub uid: &'a str,
    /// None before the pod has an address.
    pub pod_ip: Option<String>,
    pub host_ip: String,
    pub started: Timestamp,
    pub containers: &'a [ContainerState],
    pub now: Timestamp,
    /// Ended for good, by deletion or by its own end.
    pub finished: bool,
    /// Why the node has ended it, once it has.
    pub evicted: Option<&'a str>,
}

/// `status` as a merge patch has it.
pub(crate) fn build(inputs: &Inputs<'_>) -> Value {
    let phase = phase(inputs);
    let image_names = |role: fn(&ContainerState) -> bool| -> Vec<Value> {
        inputs.containers.iter().filter(|state| role(state)).map(|state| container_status(state, inputs.uid)).collect()
    };
    let mut status = json!({
        "phase": phase,
        "qosClass": qos::class(inputs.pod),
        "hostIP": inputs.host_ip,
        "hostIPs": [{"ip": inputs.host_ip}],
        "startTime": inputs.started.rfc3339(),
        "conditions": conditions(inputs, phase),
        "containerStatuses": image_names(|state| state.role == Role::Main),
    });
    let init = image_names(|state| state.role != Role::Main);
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    if let Some(ip) = &inputs.pod_ip {
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{"ip": ip}]);
    }
    if let Some(message) = inputs.evicted {
        status["reason"] = json!("Evicted");
        status["message"] = json!(message);
    }
    if let Some(generation) = inputs.pod.metadata.generation {
        status["observedGeneration"] = json!(generation);
    }
    status
}

fn is_initialized(containers: &[ContainerState]) -> bool {
    containers.iter().all(|state| match state.role {
        Role::Init => state.terminated().is_some_and(|terminated| terminated.code == 0),
        Role::Sidecar => state.started,
        Role::Main => true,
    })
}

fn phase(inputs: &Inputs<'_>) -> &'static str {
    let policy = inputs.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let failed_init = inputs.containers.iter().any(|state| {
        state.role == Role::Init
            && policy == "Never"
            && state.terminated().is_some_and(|terminated| terminated.code != 0)
    });
    if failed_init || inputs.evicted.is_some() {
        return "Failed";
    }
    let mut mains = inputs.containers.iter().filter(|state| state.role == Role::Main).peekable();
    if mains.peek().is_none() || mains.clone().any(ContainerState::never_ran) {
        return if inputs.finished { "Failed" } else { "Pending" };
    }
    let ended: Vec<&Terminated> = mains.clone().filter_map(ContainerState::terminated).collect();
    let all_ended = ended.len() == mains.count();
    let any_failed = ended.iter().any(|terminated| terminated.code != 0);
    if !all_ended {
        return "Running";
    }
    match policy {
        "Always" if !inputs.finished => "Running",
        "OnFailure" if any_failed && !inputs.finished => "Running",
        _ if any_failed => "Failed",
        _ => "Succeeded",
    }
}

fn conditions(inputs: &Inputs<'_>, phase: &str) -> Vec<Value> {
    let old = inputs.pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let initialized = is_initialized(inputs.containers);
    let unready: Vec<&str> = inputs
        .containers
        .iter()
        .filter(|state| state.role != Role::Init && !(state.is_running() && state.ready))
        .map(|state| state.spec.name.as_str())
        .collect();
    let finished = matches!(phase, "Succeeded" | "Failed");
    let (ready_reason, ready_message) = match (finished, unready.is_empty()) {
        (true, _) => (if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" }, String::new()),
        (false, true) => ("", String::new()),
        (false, false) => ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    };
    let containers_ready = unready.is_empty() && !finished;
    let gates_pass =
        inputs.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten()).all(|gate| {
            old.iter().any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
        });
    let own = [
        ("PodReadyToStartContainers", inputs.pod_ip.is_some() && !finished, "", String::new()),
        (
            "Initialized",
            initialized || phase == "Succeeded",
            if initialized { "" } else { "ContainersNotInitialized" },
            incomplete(inputs, initialized),
        ),
        if containers_ready && !gates_pass {
            ("Ready", false, "ReadinessGatesNotReady", "a condition of the readiness gates is not True".to_owned())
        } else {
            ("Ready", containers_ready, ready_reason, ready_message.clone())
        },
        ("ContainersReady", containers_ready, ready_reason, ready_message),
    ];
    let evicted = inputs.evicted.map(|message| ("DisruptionTarget", true, "TerminationByKubelet", message.to_owned()));
    let mut all: Vec<Value> = own
        .into_iter()
        .chain(evicted)
        .map(|(kind, is_true, reason, message)| condition(&old, kind, is_true, reason, &message, inputs))
        .collect();
    let foreign = old.iter().filter(|condition| !all.iter().any(|own| own["type"] == condition.type_.as_str()));
    let foreign: Vec<Value> = foreign.filter_map(|condition| serde_json::to_value(condition).ok()).collect();
    all.extend(foreign);
    all
}

fn incomplete(inputs: &Inputs<'_>, initialized: bool) -> String {
    if initialized {
        return String::new();
    }
    let done =
        |state: &&ContainerState| state.terminated().is_some_and(|terminated| terminated.code == 0) || state.started;
    let names: Vec<&str> = inputs
        .containers
        .iter()
        .filter(|state| state.role != Role::Main)
        .filter(|state| !done(state))
        .map(|state| state.spec.name.as_str())
        .collect();
    format!("containers with incomplete status: [{}]", names.join(" "))
}

fn condition(
    old: &[PodCondition],
    kind: &str,
    is_true: bool,
    reason: &str,
    message: &str,
    inputs: &Inputs<'_>,
) -> Value {
    let status = if is_true { "True" } else { "False" };
    let unchanged = old.iter().find(|condition| condition.type_ == kind && condition.status == status);
    let since = unchanged
        .and_then(|condition| serde_json::to_value(condition.last_transition_time.as_ref()?).ok())
        .unwrap_or_else(|| json!(inputs.now.rfc3339()));
    let mut value = json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
    if let Some(generation) = inputs.pod.metadata.generation {
        value["observedGeneration"] = json!(generation);
    }
    if !reason.is_empty() {
        value["reason"] = json!(reason);
    }
    if !message.is_empty() {
        value["message"] = json!(message);
    }
    value
}

fn container_status(state: &ContainerState, uid: &str) -> Value {
    let image = state.spec.image.as_deref().unwrap_or_default();
    let mut status = json!({
        "name": state.spec.name,
        "image": image,
        "imageID": match &state.image_id {
            _ if state.never_ran() => "",
            Some(id) => id,
            None => image,
        },
        "restartCount": state.restarts,
        "ready": match state.role {
            Role::Init => state.terminated().is_some_and(|terminated| terminated.code == 0),
            Role::Sidecar | Role::Main => state.is_running() && state.ready,
        },
        "started": state.is_running() && state.started,
        "lastState": state.last.as_ref().map_or_else(|| json!({}), |terminated| json!({"terminated": terminated_state(terminated)})),
        "state": match &state.run {
            Run::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            Run::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Run::Running { started, .. } => json!({"running": {"startedAt": started.rfc3339()}}),
            Run::Terminated(terminated) => json!({"terminated": terminated_state(terminated)}),
        },
    });
    if state.is_running() {
        status["containerID"] = json!(state.id(uid));
    } else if let Some(terminated) = state.terminated().or(state.last.as_ref()) {
        status["containerID"] = json!(terminated.id);
    }
    if let Some(resources) = state.spec.resources.as_ref().and_then(|resources| serde_json::to_value(resources).ok()) {
        status["resources"] = resources;
    }
    status
}

fn terminated_state(terminated: &Terminated) -> Value {
    let mut value = json!({
        "exitCode": terminated.code,
        "reason": terminated.reason,
        "startedAt": terminated.started.rfc3339(),
        "finishedAt": terminated.finished.rfc3339(),
        "containerID": terminated.id,
    });
    if let Some(signal) = terminated.signal {
        value["signal"] = json!(signal);
    }
    if !terminated.message.is_empty() {
        value["message"] = json!(terminated.message);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::container;

    fn pod(policy: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
        }))
        .unwrap()
    }

    fn ended(code: i32) -> Run {
        let at = Timestamp::from_secs(1);
        Run::Terminated(Terminated {
            code,
            signal: None,
            reason: "Error",
            message: String::new(),
            started: at,
            finished: at,
            id: String::new(),
        })
    }

    fn running() -> Run {
        Run::Running { process: None, started: Timestamp::from_secs(1) }
    }

    fn status_of(policy: &str, runs: [Run; 3]) -> Value {
        let pod = pod(policy);
        let mut containers = container::all(&pod);
        for (state, run) in containers.iter_mut().zip(runs) {
            (state.run, state.ready, state.started) = (run, true, true);
        }
        let now = Timestamp::from_secs(5);
        build(&Inputs {
            pod: &pod,
            uid: "u",
            pod_ip: None,
            host_ip: "h".into(),
            started: now,
            containers: &containers,
            now,
            finished: false,
            evicted: None,
        })
    }

    fn check(policy: &str, runs: [Run; 3], phase: &str, ready: &str) {
        let status = status_of(policy, runs);
        assert_eq!(status["phase"], phase);
        let conditions = status["conditions"].as_array().unwrap();
        assert_eq!(conditions.iter().find(|condition| condition["type"] == "Ready").unwrap()["status"], ready);
        assert!(
            conditions.iter().any(|condition| condition["type"] == "PodScheduled"),
            "the scheduler's condition stays"
        );
    }

    #[test]
    fn phases_follow_containers_and_policy() {
        let waiting = || Run::Waiting { reason: "ContainerCreating".into(), message: String::new() };
        check("Always", [waiting(), waiting(), waiting()], "Pending", "False");
        check("Always", [ended(0), running(), running()], "Running", "True");
        check("Always", [ended(0), running(), ended(1)], "Running", "False");
        check("Never", [ended(0), ended(0), ended(0)], "Succeeded", "False");
        check("Never", [ended(0), ended(0), ended(1)], "Failed", "False");
        check("OnFailure", [ended(0), ended(0), ended(1)], "Running", "False");
        check("Never", [ended(1), waiting(), waiting()], "Failed", "False");
    }
}
