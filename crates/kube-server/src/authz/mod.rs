//! Who may do what: RBAC over the roles and bindings that the API itself stores.

pub mod aggregation;
pub mod bootstrap;
pub mod escalation;
mod rules;

use std::sync::Arc;

use serde_json::Value;

use crate::api::{Api, Caller};
use crate::error::ApiError;
use crate::json;

pub use rules::covers;

/// What a request wants to do.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub verb: String,
    pub group: String,
    /// Empty for paths outside of resources.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// For what is no resource: `/healthz`.
    pub path: String,
}

impl Attributes {
    fn resource_and_subresource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

fn binds(binding: &Value, caller: &Caller) -> bool {
    let namespace = json::namespace(binding);
    json::items(binding, "/subjects").iter().any(|subject| {
        let name = json::text(subject, "/name").unwrap_or_default();
        match json::text(subject, "/kind") {
            Some("User") => name == caller.name,
            Some("Group") => caller.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let home = json::text(subject, "/namespace").or(namespace).unwrap_or_default();
                caller.name.strip_prefix("system:serviceaccount:").and_then(|n| n.split_once(':')) == Some((home, name))
            }
            _ => false,
        }
    })
}

/// A role that a binding refers to, as it is stored now.
pub fn role_of(api: &Api, binding: &Value) -> Option<Arc<Value>> {
    let name = json::text(binding, "/roleRef/name")?;
    match json::text(binding, "/roleRef/kind")? {
        "Role" => api.cache().get("roles.rbac.authorization.k8s.io", json::namespace(binding), name),
        _ => api.cache().get("clusterroles.rbac.authorization.k8s.io", None, name),
    }
}

/// Every rule that holds for the caller in the namespace (empty: only what holds everywhere).
pub fn rules_of(api: &Api, caller: &Caller, namespace: &str) -> Vec<Value> {
    let mut bindings = api.cache().list("clusterrolebindings.rbac.authorization.k8s.io", None);
    if !namespace.is_empty() {
        bindings.extend(api.cache().list("rolebindings.rbac.authorization.k8s.io", Some(namespace)));
    }
    let roles = bindings.iter().filter(|b| binds(b, caller)).filter_map(|b| role_of(api, b));
    roles.flat_map(|role| json::items(&role, "/rules").to_vec()).collect()
}

pub fn allowed(api: &Api, caller: &Caller, wanted: &Attributes) -> bool {
    caller.is_master() || rules_of(api, caller, &wanted.namespace).iter().any(|rule| rules::allows(rule, wanted))
}

/// # Errors
/// 403 in upstream's words.
pub fn authorize(api: &Api, caller: &Caller, wanted: &Attributes) -> Result<(), ApiError> {
    if allowed(api, caller, wanted) { Ok(()) } else { Err(forbidden(caller, wanted)) }
}

fn forbidden(caller: &Caller, wanted: &Attributes) -> ApiError {
    let user = &caller.name;
    if wanted.resource.is_empty() {
        return ApiError::forbidden("", "", "")
            .with_message(format!("forbidden: User {user:?} cannot {} path {:?}", wanted.verb, wanted.path));
    }
    let scope = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", wanted.namespace)
    };
    let why = format!(
        "User {user:?} cannot {} resource {:?} in API group {:?} {scope}",
        wanted.verb,
        wanted.resource_and_subresource(),
        wanted.group
    );
    let qualified =
        if wanted.group.is_empty() { wanted.resource.clone() } else { format!("{}.{}", wanted.resource, wanted.group) };
    ApiError::forbidden(&qualified, &wanted.name, &why)
}

#[cfg(test)]
mod tests;
