//! Reading ARM's what-if, without its noise.

use std::collections::BTreeSet;

use arm_client::ArmClientError;
use arm_model::{ErrorBody, ResourceId};
use serde_json::Value;

use crate::change::{Change, ChangeKind, PropertyChange};

pub(super) struct Answer {
    pub changes: Vec<Change>,
    /// Lower-case ids of everything that the template declares.
    pub declared: BTreeSet<String>,
}

pub(super) fn is_deployment(id: &ResourceId) -> bool {
    id.to_string().to_ascii_lowercase().contains("/providers/microsoft.resources/deployments/")
}

/// `/subscriptions/<id>` in front says nothing to the reader.
pub(super) fn below_subscription(id: &str) -> String {
    let rest = id.strip_prefix("/subscriptions/").and_then(|rest| rest.split_once('/')).map_or(id, |(_, rest)| rest);
    let rest = rest.strip_prefix("resourceGroups/").or_else(|| rest.strip_prefix("resourcegroups/")).unwrap_or(rest);
    rest.replace("/providers/", " ")
}

/// The changes in a what-if's result.
///
/// # Errors
/// When the result says that the template is not valid.
pub fn changes(result: &Value) -> Result<Vec<Change>, ArmClientError> {
    Ok(read(result, "what-if")?.changes)
}

pub(super) fn read(result: &Value, path: &str) -> Result<Answer, ArmClientError> {
    if let Some(error) = result.get("error").filter(|error| !error.is_null()) {
        let body: ErrorBody = serde_json::from_value(error.clone()).unwrap_or_default();
        return Err(ArmClientError::Failed { path: path.to_owned(), body: Box::new(body) });
    }
    let mut answer = Answer { changes: Vec::new(), declared: BTreeSet::new() };
    let changes = result.pointer("/properties/changes").or_else(|| result.get("changes")).and_then(Value::as_array);
    for change in changes.into_iter().flatten() {
        let id = change["resourceId"].as_str().unwrap_or_default();
        let change_type = change["changeType"].as_str().unwrap_or_default();
        if change_type == "Ignore" || ResourceId::parse(id).as_ref().is_ok_and(is_deployment) {
            continue;
        }
        if change_type != "Delete" {
            answer.declared.insert(id.to_ascii_lowercase());
        }
        answer.changes.extend(read_change(id, change_type, change));
    }
    Ok(answer)
}

fn read_change(id: &str, change_type: &str, change: &Value) -> Option<Change> {
    let target = below_subscription(id);
    match change_type {
        "Create" => Some(Change { kind: ChangeKind::Create, target, properties: Vec::new() }),
        "Delete" => Some(Change { kind: ChangeKind::Delete, target, properties: Vec::new() }),
        "Modify" => {
            let mut properties = Vec::new();
            for delta in change["delta"].as_array().into_iter().flatten() {
                collect(delta, "", &mut properties);
            }
            (!properties.is_empty()).then_some(Change { kind: ChangeKind::Modify, target, properties })
        }
        // Without payloads ARM only knows that it will deploy; the template's resource is there, so nothing is said.
        _ => None,
    }
}

/// The leaves of a delta. Array elements carry their children with paths relative to the element.
fn collect(delta: &Value, prefix: &str, out: &mut Vec<PropertyChange>) {
    let own = delta["path"].as_str().unwrap_or_default();
    let path = match (prefix.is_empty(), own.is_empty()) {
        (true, _) => own.to_owned(),
        (false, true) => prefix.to_owned(),
        (false, false) => format!("{prefix}.{own}"),
    };
    let children = delta["children"].as_array().filter(|children| !children.is_empty());
    if let Some(children) = children {
        for child in children {
            collect(child, &path, out);
        }
        return;
    }
    let kind = delta["propertyChangeType"].as_str().unwrap_or_default();
    let (before, after) = (delta.get("before"), delta.get("after"));
    if kind == "NoEffect" || is_noise(&path, kind, before, after) {
        return;
    }
    let shown = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let change = if is_secret(&path) {
        PropertyChange { path, before: None, after: Some(Value::String("(secret)".into())) }
    } else {
        PropertyChange { path, before: shown(before), after: shown(after) }
    };
    out.push(change);
}

fn is_secret(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains("password") && !path.ends_with("passwordauth") || path.contains("secret") && !path.starts_with("tags")
}

/// Differences that a deployment would not make: values that only exist at run time, what an autoscaler rules, and
/// properties that the provider fills in and the template leaves out.
fn is_noise(path: &str, kind: &str, before: Option<&Value>, after: Option<&Value>) -> bool {
    let unevaluated =
        after.and_then(Value::as_str).is_some_and(|text| text.starts_with('[') && !text.starts_with("[["));
    let autoscaled = path.starts_with("properties.agentPoolProfiles") && path.ends_with("count");
    let write_only = path.ends_with("administratorLoginPassword");
    let filled_in = kind == "Delete" && !path.starts_with("tags");
    let same_but_case = match (before.and_then(Value::as_str), after.and_then(Value::as_str)) {
        (Some(before), Some(after)) => before.starts_with('/') && before.eq_ignore_ascii_case(after),
        _ => false,
    };
    unevaluated || autoscaled || write_only || filled_in || same_but_case
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(delta: Value, expected: &[(&str, Option<Value>, Option<Value>)]) {
        let id = "/subscriptions/s/resourceGroups/marea-base/providers/Microsoft.Network/virtualNetworks/marea";
        let result = json!({"status": "Succeeded", "properties": {"changes": [{"resourceId": id, "changeType": "Modify", "delta": delta}]}});
        let answer = read(&result, "/").unwrap();
        let found: Vec<_> = answer
            .changes
            .iter()
            .flat_map(|change| &change.properties)
            .map(|p| (p.path.as_str(), p.before.clone(), p.after.clone()))
            .collect();
        assert_eq!(found, expected);
        assert!(answer.declared.contains(&id.to_ascii_lowercase()));
    }

    #[test]
    fn leaves_get_their_full_path() {
        let child = json!({"path": "1", "propertyChangeType": "Modify", "children": [{"path": "properties.addressPrefix", "propertyChangeType": "Modify", "before": "a", "after": "b"}]});
        check(
            json!([{"path": "properties.subnets", "propertyChangeType": "Array", "children": [child]}]),
            &[("properties.subnets.1.properties.addressPrefix", Some(json!("a")), Some(json!("b")))],
        );
    }

    #[test]
    fn noise_is_ignored_and_secrets_are_not_shown() {
        check(
            json!([
                {"path": "properties.principalId", "propertyChangeType": "Modify", "before": "x", "after": "[reference('id').principalId]"},
                {"path": "properties.agentPoolProfiles.1.count", "propertyChangeType": "Modify", "before": 4, "after": 1},
                {"path": "properties.provided", "propertyChangeType": "Delete", "before": 4},
                {"path": "properties.subnet", "propertyChangeType": "Modify", "before": "/subscriptions/S", "after": "/subscriptions/s"},
            ]),
            &[],
        );
        check(
            json!([{"path": "properties.mySecret", "propertyChangeType": "Modify", "before": "x", "after": "y"}]),
            &[("properties.mySecret", None, Some(json!("(secret)")))],
        );
    }

    #[test]
    fn deployments_and_ignored_resources_are_no_changes() {
        let result = json!({"changes": [
            {"resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Resources/deployments/d", "changeType": "Create"},
            {"resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/other", "changeType": "Ignore"},
        ]});
        assert!(read(&result, "/").unwrap().changes.is_empty());
        assert_eq!(below_subscription("/subscriptions/s/resourceGroups/g/providers/T/x/n"), "g T/x/n");
    }
}
