//! One policy rule against one request, and against another rule.

use serde_json::Value;

use super::Attributes;
use crate::json;

fn has(rule: &Value, field: &str, wanted: &str) -> bool {
    json::items(rule, field).iter().any(|v| v == "*" || v == wanted)
}

fn has_resource(rule: &Value, resource: &str, subresource: &str) -> bool {
    json::items(rule, "/resources").iter().filter_map(Value::as_str).any(|stated| match (stated, subresource) {
        ("*", _) => true,
        (stated, "") => stated == resource,
        (stated, sub) => stated == format!("{resource}/{sub}") || stated == format!("*/{sub}"),
    })
}

fn has_name(rule: &Value, name: &str) -> bool {
    let names = json::items(rule, "/resourceNames");
    names.is_empty() || (!name.is_empty() && names.iter().any(|n| n == name))
}

fn has_path(rule: &Value, path: &str) -> bool {
    json::items(rule, "/nonResourceURLs").iter().filter_map(Value::as_str).any(|stated| {
        match stated.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => stated == path,
        }
    })
}

pub fn allows(rule: &Value, wanted: &Attributes) -> bool {
    if !has(rule, "/verbs", &wanted.verb) {
        return false;
    }
    if wanted.resource.is_empty() {
        return has_path(rule, &wanted.path);
    }
    has(rule, "/apiGroups", &wanted.group)
        && has_resource(rule, &wanted.resource, &wanted.subresource)
        && has_name(rule, &wanted.name)
}

fn texts<'v>(rule: &'v Value, field: &str) -> Vec<&'v str> {
    json::items(rule, field).iter().filter_map(Value::as_str).collect()
}

/// Whether what `rule` grants is granted by `owned` already, each verb, group, resource and name on its own.
pub fn covers(owned: &[Value], rule: &Value) -> bool {
    let verbs = texts(rule, "/verbs");
    let paths = texts(rule, "/nonResourceURLs");
    let by_path =
        |path: &&str| verbs.iter().all(|verb| owned.iter().any(|o| has(o, "/verbs", verb) && has_path(o, path)));
    if !paths.iter().all(by_path) {
        return false;
    }
    let names = texts(rule, "/resourceNames");
    let names = if names.is_empty() { vec![""] } else { names };
    for group in texts(rule, "/apiGroups") {
        for resource in texts(rule, "/resources") {
            let (plural, sub) = resource.split_once('/').unwrap_or((resource, ""));
            for (verb, name) in verbs.iter().flat_map(|verb| names.iter().map(move |name| (verb, name))) {
                let granted = |o: &Value| {
                    has(o, "/verbs", verb)
                        && has(o, "/apiGroups", group)
                        && has_resource(o, plural, sub)
                        && has_name(o, name)
                };
                if !owned.iter().any(granted) {
                    return false;
                }
            }
        }
    }
    true
}
