//! Nobody can write a role with more than they have, unless they may `escalate` or `bind` it.

use serde_json::Value;

use super::{Attributes, allowed, covers, role_of, rules_of};
use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

fn may(tx: &Transaction<'_>, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let wanted = Attributes {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: plural.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    tx.caller.in_process || allowed(tx.api(), tx.caller, &wanted)
}

/// `["get" "list"]`, as Go prints quoted lists.
fn quoted(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

/// A rule in one line (`CompactString` of `pkg/apis/rbac/v1/helpers.go`).
fn compact(rule: &Value) -> String {
    const PARTS: [(&str, &str); 5] = [
        ("APIGroups", "/apiGroups"),
        ("Resources", "/resources"),
        ("NonResourceURLs", "/nonResourceURLs"),
        ("ResourceNames", "/resourceNames"),
        ("Verbs", "/verbs"),
    ];
    let stated = PARTS.iter().filter(|(_, field)| !json::items(rule, field).is_empty());
    let parts: Vec<String> = stated
        .map(|(name, field)| {
            let texts: Vec<&str> = json::items(rule, field).iter().filter_map(Value::as_str).collect();
            format!("{name}:{}", quoted(&texts))
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}

fn refuse(tx: &Transaction<'_>, resource: &str, object: &Value, missing: &[Value]) -> ApiError {
    let listed: Vec<String> = missing.iter().map(compact).collect();
    let groups: Vec<&str> = tx.caller.groups.iter().map(String::as_str).collect();
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        tx.caller.name,
        quoted(&groups),
        listed.join("\n")
    );
    ApiError::forbidden(resource, json::name(object), &why)
}

fn missing(tx: &Transaction<'_>, namespace: &str, rules: Vec<Value>) -> Vec<Value> {
    let owned = rules_of(tx.api(), tx.caller, namespace);
    rules.into_iter().filter(|rule| !covers(&owned, rule)).collect()
}

pub fn check_role(tx: &Transaction<'_>, resource: &str, role: &Value) -> Result<(), ApiError> {
    let namespace = json::namespace(role).unwrap_or_default();
    if may(tx, "escalate", resource, namespace, json::name(role)) {
        return Ok(());
    }
    if role.get("aggregationRule").is_some() {
        return Err(ApiError::forbidden(
            resource,
            json::name(role),
            "must have cluster-admin privileges to use an aggregationRule",
        ));
    }
    let missing = missing(tx, namespace, json::items(role, "/rules").to_vec());
    if missing.is_empty() { Ok(()) } else { Err(refuse(tx, resource, role, &missing)) }
}

pub fn check_binding(tx: &Transaction<'_>, resource: &str, binding: &Value) -> Result<(), ApiError> {
    let namespace = json::namespace(binding).unwrap_or_default();
    let kind = json::text(binding, "/roleRef/kind").unwrap_or_default();
    let roles =
        if kind == "Role" { "roles.rbac.authorization.k8s.io" } else { "clusterroles.rbac.authorization.k8s.io" };
    let name = json::text(binding, "/roleRef/name").unwrap_or_default();
    if may(tx, "bind", roles, namespace, name) {
        return Ok(());
    }
    let Some(role) = role_of(tx.api(), binding) else { return Err(ApiError::not_found(roles, name)) };
    let missing = missing(tx, namespace, json::items(&role, "/rules").to_vec());
    if missing.is_empty() { Ok(()) } else { Err(refuse(tx, resource, binding, &missing)) }
}
