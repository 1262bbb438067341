//! Pod security standards, as the namespace's labels enforce them
//! (upstream: `staging/src/k8s.io/pod-security-admission/policy`, v1.36.3).

use serde_json::{Value, json};

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const RESTRICTED_VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

pub fn validate(tx: &Transaction<'_>, pod: &Value) -> Result<(), ApiError> {
    let namespace = tx.get("namespaces", None, json::namespace(pod).unwrap_or_default());
    let level = namespace
        .as_ref()
        .and_then(|n| n["metadata"]["labels"].get(ENFORCE))
        .and_then(Value::as_str)
        .unwrap_or("privileged");
    let mut problems = Vec::new();
    match level {
        "privileged" => {}
        "baseline" => baseline(&pod["spec"], &mut problems),
        // An unknown level is enforced as the strictest, as upstream does.
        _ => {
            baseline(&pod["spec"], &mut problems);
            restricted(&pod["spec"], &mut problems);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let why = format!("violates PodSecurity \"{level}:latest\": {}", problems.join(", "));
    Err(ApiError::forbidden("pods", json::name(pod), &why))
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    json::items(spec, "/initContainers").iter().chain(json::items(spec, "/containers"))
}

fn offenders(spec: &Value, offends: impl Fn(&Value) -> bool) -> Option<String> {
    let names: Vec<String> = containers(spec)
        .filter(|c| offends(c))
        .map(|c| format!("{:?}", json::text(c, "/name").unwrap_or_default()))
        .collect();
    match names.len() {
        0 => None,
        1 => Some(format!("container {}", names[0])),
        _ => Some(format!("containers {}", names.join(", "))),
    }
}

fn added(container: &Value) -> impl Iterator<Item = &str> {
    json::items(container, "/securityContext/capabilities/add").iter().filter_map(Value::as_str)
}

fn baseline(spec: &Value, problems: &mut Vec<String>) {
    let host: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|f| json::flag(spec, &format!("/{f}")))
        .map(|f| format!("{f}=true"))
        .collect();
    if !host.is_empty() {
        problems.push(format!("host namespaces ({})", host.join(", ")));
    }
    if let Some(who) = offenders(spec, |c| json::flag(c, "/securityContext/privileged")) {
        problems.push(format!("privileged ({who} must not set securityContext.privileged=true)"));
    }
    if let Some(who) = offenders(spec, |c| added(c).any(|cap| !BASELINE_CAPABILITIES.contains(&cap))) {
        problems.push(format!("non-default capabilities ({who} must not include capabilities beyond the baseline in securityContext.capabilities.add)"));
    }
    let mounts: Vec<&str> = json::items(spec, "/volumes")
        .iter()
        .filter(|v| v.get("hostPath").is_some())
        .filter_map(|v| json::text(v, "/name"))
        .collect();
    if !mounts.is_empty() {
        problems.push(format!("hostPath volumes (volume {:?})", mounts.join(", ")));
    }
    if let Some(who) = offenders(spec, |c| {
        json::items(c, "/ports").iter().any(|p| json::integer(p, "/hostPort").is_some_and(|n| n != 0))
    }) {
        problems.push(format!("hostPort ({who} uses hostPorts)"));
    }
    let unconfined = |v: &Value| v.pointer("/securityContext/seccompProfile/type") == Some(&json!("Unconfined"));
    if unconfined(spec) || containers(spec).any(unconfined) {
        problems.push(
            "seccompProfile (pod or containers must not set securityContext.seccompProfile.type to \"Unconfined\")"
                .to_owned(),
        );
    }
}

fn restricted(spec: &Value, problems: &mut Vec<String>) {
    let context = &spec["securityContext"];
    if let Some(who) =
        offenders(spec, |c| c.pointer("/securityContext/allowPrivilegeEscalation") != Some(&json!(false)))
    {
        problems.push(format!(
            "allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"
        ));
    }
    let drops_all = |c: &Value| json::items(c, "/securityContext/capabilities/drop").iter().any(|d| d == "ALL");
    if let Some(who) = offenders(spec, |c| !drops_all(c) || added(c).any(|cap| cap != "NET_BIND_SERVICE")) {
        problems
            .push(format!("unrestricted capabilities ({who} must set securityContext.capabilities.drop=[\"ALL\"])"));
    }
    let allowed = |v: &Value| {
        v.as_object().is_some_and(|v| v.keys().all(|k| k == "name" || RESTRICTED_VOLUMES.contains(&k.as_str())))
    };
    if json::items(spec, "/volumes").iter().any(|v| !allowed(v)) {
        problems.push("restricted volume types (a volume uses a restricted volume type)".to_owned());
    }
    let non_root = |v: &Value| v.get("runAsNonRoot").and_then(Value::as_bool);
    let pod_level = non_root(context);
    if let Some(who) = offenders(spec, |c| non_root(&c["securityContext"]).or(pod_level) != Some(true)) {
        problems.push(format!("runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)"));
    }
    let is_root = |v: &Value| v.get("runAsUser") == Some(&json!(0));
    if is_root(context) || containers(spec).any(|c| is_root(&c["securityContext"])) {
        problems.push("runAsUser=0 (pod or container must not set runAsUser=0)".to_owned());
    }
    let profile = |v: &Value| {
        v.pointer("/seccompProfile/type").and_then(Value::as_str).map(|t| matches!(t, "RuntimeDefault" | "Localhost"))
    };
    let pod_profile = profile(context);
    if let Some(who) = offenders(spec, |c| profile(&c["securityContext"]).or(pod_profile) != Some(true)) {
        problems.push(format!("seccompProfile (pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"));
    }
}
