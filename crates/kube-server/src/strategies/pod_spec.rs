//! The specification of pods, wherever it occurs: defaults (upstream: `pkg/apis/core/v1/defaults.go`) and validation
//! (`pkg/apis/core/validation/validation.go`), v1.36.3.

use serde_json::{Value, json};

use super::{names, probes, quantities};
use crate::field::FieldErrors;
use crate::json;

const DEFAULT_FILE_MODE: i64 = 0o644;

pub fn default(spec: &mut Value) {
    json::default(spec, "restartPolicy", "Always");
    json::default(spec, "dnsPolicy", "ClusterFirst");
    json::default(spec, "schedulerName", "default-scheduler");
    json::default(spec, "terminationGracePeriodSeconds", 30);
    json::default(spec, "securityContext", json!({}));
    // The deprecated alias shows the same name.
    if let Some(account) = json::text(spec, "/serviceAccountName").filter(|a| !a.is_empty()).map(str::to_owned) {
        spec["serviceAccount"] = json!(account);
    } else if let Some(account) = json::text(spec, "/serviceAccount").filter(|a| !a.is_empty()).map(str::to_owned) {
        spec["serviceAccountName"] = json!(account);
    }
    let host_network = json::flag(spec, "/hostNetwork");
    for list in ["/initContainers", "/containers"] {
        for container in json::items_mut(spec, list) {
            default_container(container, host_network);
        }
    }
    for volume in json::items_mut(spec, "/volumes") {
        default_volume(volume);
    }
}

fn default_container(container: &mut Value, host_network: bool) {
    json::default(container, "terminationMessagePath", "/dev/termination-log");
    json::default(container, "terminationMessagePolicy", "File");
    json::default(container, "resources", json!({}));
    let image = json::text(container, "/image").unwrap_or_default();
    let policy = if image.ends_with(":latest") || !has_tag(image) { "Always" } else { "IfNotPresent" };
    json::default(container, "imagePullPolicy", policy);
    for port in json::items_mut(container, "/ports") {
        json::default(port, "protocol", "TCP");
        if host_network {
            let number = port["containerPort"].clone();
            json::default(port, "hostPort", number);
        }
    }
    for variable in json::items_mut(container, "/env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            json::default(field, "apiVersion", "v1");
        }
        if let Some(field) = variable.pointer_mut("/valueFrom/resourceFieldRef") {
            json::default(field, "divisor", "0");
        }
    }
    probes::default(container);
}

/// A digest counts as a tag: it says which image.
fn has_tag(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.contains(':') || last.contains('@')
}

fn default_volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|v| v.len() == 1) {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            json::default(source, "defaultMode", DEFAULT_FILE_MODE);
        }
    }
    if let Some(path) = volume.get_mut("hostPath") {
        json::default(path, "type", "");
    }
    default_downward(volume, "/downwardAPI/items");
    for source in json::items_mut(volume, "/projected/sources") {
        if let Some(token) = source.get_mut("serviceAccountToken") {
            json::default(token, "expirationSeconds", 3600);
        }
        default_downward(source, "/downwardAPI/items");
    }
}

fn default_downward(holder: &mut Value, items: &str) {
    for item in json::items_mut(holder, items) {
        if let Some(field) = item.get_mut("fieldRef") {
            json::default(field, "apiVersion", "v1");
        }
    }
}

/// Requests that are not stated are those of the limits; only pods get this, templates do not.
pub fn default_requests(spec: &mut Value) {
    for list in ["/initContainers", "/containers"] {
        for container in json::items_mut(spec, list) {
            quantities::default_requests(json::object(container, "resources"));
        }
    }
}

pub fn validate(spec: &Value, path: &str, errors: &mut FieldErrors) {
    let volumes = validate_volumes(spec, path, errors);
    let mut seen = Vec::new();
    if json::items(spec, "/containers").is_empty() {
        errors.required(format!("{path}.containers"), "");
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in json::items(spec, &format!("/{list}")).iter().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            validate_container(container, &at, &volumes, errors);
            let name = json::text(container, "/name").unwrap_or_default();
            if !name.is_empty() && seen.contains(&name) {
                errors.duplicate(format!("{at}.name"), &json!(name));
            }
            seen.push(name);
        }
    }
    supported(spec, "restartPolicy", path, &["Always", "OnFailure", "Never"], errors);
    supported(spec, "dnsPolicy", path, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errors);
    if let Some(grace) = json::integer(spec, "/terminationGracePeriodSeconds").filter(|g| *g < 0) {
        errors.invalid(
            format!("{path}.terminationGracePeriodSeconds"),
            &json!(grace),
            "must be greater than or equal to 0",
        );
    }
    for (index, constraint) in json::items(spec, "/topologySpreadConstraints").iter().enumerate() {
        let at = format!("{path}.topologySpreadConstraints[{index}]");
        if json::integer(constraint, "/maxSkew").unwrap_or(0) <= 0 {
            errors.invalid(format!("{at}.maxSkew"), &constraint["maxSkew"], "must be greater than zero");
        }
        supported(constraint, "whenUnsatisfiable", &at, &["DoNotSchedule", "ScheduleAnyway"], errors);
    }
    for (index, toleration) in json::items(spec, "/tolerations").iter().enumerate() {
        validate_toleration(toleration, &format!("{path}.tolerations[{index}]"), errors);
    }
}

fn validate_toleration(toleration: &Value, path: &str, errors: &mut FieldErrors) {
    supported(toleration, "effect", path, &["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
    supported(toleration, "operator", path, &["Equal", "Exists", "Lt", "Gt"], errors);
    let key = json::text(toleration, "/key").unwrap_or_default();
    let operator = json::text(toleration, "/operator").unwrap_or("Equal");
    if key.is_empty() && operator != "Exists" {
        errors.invalid(
            format!("{path}.operator"),
            &json!(operator),
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if operator == "Exists" && json::text(toleration, "/value").is_some_and(|v| !v.is_empty()) {
        errors.invalid(
            format!("{path}.operator"),
            &toleration["value"],
            "value must be empty when `operator` is 'Exists'",
        );
    }
}

/// An absent or empty value is left to the field's default.
pub fn supported(object: &Value, field: &str, path: &str, allowed: &[&str], errors: &mut FieldErrors) {
    if let Some(value) = object.get(field).and_then(Value::as_str)
        && !value.is_empty()
        && !allowed.contains(&value)
    {
        errors.not_supported(format!("{path}.{field}"), &json!(value), allowed);
    }
}

fn validate_volumes(spec: &Value, path: &str, errors: &mut FieldErrors) -> Vec<String> {
    let mut known = Vec::new();
    for (index, volume) in json::items(spec, "/volumes").iter().enumerate() {
        let field = format!("{path}.volumes[{index}].name");
        let name = json::text(volume, "/name").unwrap_or_default();
        if name.is_empty() {
            errors.required(field, "");
        } else if let Some(problem) = names::label_problem(name) {
            errors.invalid(field, &json!(name), &problem);
        } else if known.iter().any(|k| k == name) {
            errors.duplicate(field, &json!(name));
        }
        known.push(name.to_owned());
        if volume.as_object().is_some_and(|v| v.len() > 2) {
            errors.forbidden(format!("{path}.volumes[{index}]"), "may not specify more than 1 volume type");
        }
    }
    known
}

fn validate_container(container: &Value, path: &str, volumes: &[String], errors: &mut FieldErrors) {
    let name = json::text(container, "/name").unwrap_or_default();
    if name.is_empty() {
        errors.required(format!("{path}.name"), "");
    } else if let Some(problem) = names::label_problem(name) {
        errors.invalid(format!("{path}.name"), &json!(name), &problem);
    }
    if json::text(container, "/image").unwrap_or_default().is_empty() {
        errors.required(format!("{path}.image"), "");
    }
    supported(container, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"], errors);
    supported(container, "terminationMessagePolicy", path, &["FallbackToLogsOnError", "File"], errors);
    quantities::validate_resources(&container["resources"], &format!("{path}.resources"), errors);
    validate_ports(container, path, errors);
    for (index, variable) in json::items(container, "/env").iter().enumerate() {
        if json::text(variable, "/name").unwrap_or_default().is_empty() {
            errors.required(format!("{path}.env[{index}].name"), "");
        }
        if variable.get("valueFrom").is_some() && json::text(variable, "/value").is_some_and(|v| !v.is_empty()) {
            errors.invalid(
                format!("{path}.env[{index}].valueFrom"),
                &json!(""),
                "may not be specified when `value` is not empty",
            );
        }
    }
    let mut paths = Vec::new();
    for (index, mount) in json::items(container, "/volumeMounts").iter().enumerate() {
        let at = format!("{path}.volumeMounts[{index}]");
        let volume = json::text(mount, "/name").unwrap_or_default();
        if volume.is_empty() {
            errors.required(format!("{at}.name"), "");
        } else if !volumes.iter().any(|known| known == volume) {
            errors.not_found(format!("{at}.name"), &json!(volume));
        }
        let mount_path = json::text(mount, "/mountPath").unwrap_or_default();
        if mount_path.is_empty() {
            errors.required(format!("{at}.mountPath"), "");
        } else if paths.contains(&mount_path) {
            errors.invalid(format!("{at}.mountPath"), &json!(mount_path), "must be unique");
        }
        paths.push(mount_path);
    }
    probes::validate(container, path, errors);
}

fn validate_ports(container: &Value, path: &str, errors: &mut FieldErrors) {
    let mut seen = Vec::new();
    for (index, port) in json::items(container, "/ports").iter().enumerate() {
        let at = format!("{path}.ports[{index}]");
        match json::integer(port, "/containerPort").unwrap_or(0) {
            0 => errors.required(format!("{at}.containerPort"), ""),
            number if !(1..=65535).contains(&number) => {
                errors.invalid(format!("{at}.containerPort"), &json!(number), "must be between 1 and 65535, inclusive");
            }
            _ => {}
        }
        supported(port, "protocol", &at, &["SCTP", "TCP", "UDP"], errors);
        if let Some(name) = json::text(port, "/name").filter(|n| !n.is_empty()) {
            if name.len() > 15 {
                errors.invalid(format!("{at}.name"), &json!(name), "must be no more than 15 characters");
            } else if seen.contains(&name) {
                errors.duplicate(format!("{at}.name"), &json!(name));
            }
            seen.push(name);
        }
    }
}
