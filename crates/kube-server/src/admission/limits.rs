//! Limit ranges: defaults for containers, and their bounds.

use serde_json::{Value, json};

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;
use crate::strategies::quantities;

fn ranges(tx: &Transaction<'_>, pod: &Value) -> Vec<Value> {
    let found = tx.list("limitranges", json::namespace(pod));
    found
        .iter()
        .flat_map(|range| json::items(range, "/spec/limits").to_vec())
        .filter(|l| l["type"] == "Container")
        .collect()
}

pub fn default_pod(tx: &Transaction<'_>, pod: &mut Value) {
    for limit in ranges(tx, pod) {
        for list in ["/spec/containers", "/spec/initContainers"] {
            for container in json::items_mut(pod, list) {
                let resources = json::object(container, "resources");
                for (part, source) in [("limits", "default"), ("requests", "defaultRequest")] {
                    for (name, value) in limit[source].as_object().into_iter().flatten() {
                        json::default(json::object(resources, part), name, value.clone());
                    }
                }
            }
        }
    }
}

pub fn validate_pod(tx: &Transaction<'_>, pod: &Value) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    for limit in ranges(tx, pod) {
        for container in json::items(pod, "/spec/containers").iter().chain(json::items(pod, "/spec/initContainers")) {
            check(&limit, container, &mut problems);
        }
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(ApiError::forbidden("pods", json::name(pod), &problems[0])),
        _ => Err(ApiError::forbidden("pods", json::name(pod), &format!("[{}]", problems.join(", ")))),
    }
}

fn check(limit: &Value, container: &Value, problems: &mut Vec<String>) {
    let amount = |part: &str, name: &str| container["resources"][part].get(name).cloned().unwrap_or(json!(null));
    for (name, most) in limit["max"].as_object().into_iter().flatten() {
        let stated = amount("limits", name);
        match (quantities::parse(&stated), quantities::parse(most)) {
            (None, Some(max)) => {
                problems.push(format!("maximum {name} usage per Container is {max}.  No limit is specified"))
            }
            (Some(stated), Some(max)) if stated.millis() > max.millis() => {
                problems.push(format!("maximum {name} usage per Container is {max}, but limit is {stated}"));
            }
            _ => {}
        }
    }
    for (name, least) in limit["min"].as_object().into_iter().flatten() {
        let stated = amount("requests", name);
        match (quantities::parse(&stated), quantities::parse(least)) {
            (None, Some(min)) => {
                problems.push(format!("minimum {name} usage per Container is {min}.  No request is specified"))
            }
            (Some(stated), Some(min)) if stated.millis() < min.millis() => {
                problems.push(format!("minimum {name} usage per Container is {min}, but request is {stated}"));
            }
            _ => {}
        }
    }
}
