//! RBAC objects. Writing one must not give anybody more than the writer has (upstream: `pkg/registry/rbac`).

use serde_json::{Value, json};

use super::{Strategy, names};
use crate::api::Transaction;
use crate::authz::escalation;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;

const GROUP: &str = "rbac.authorization.k8s.io";

pub struct Role {
    resource: &'static str,
}
pub static ROLE: Role = Role { resource: "roles.rbac.authorization.k8s.io" };
pub static CLUSTER_ROLE: Role = Role { resource: "clusterroles.rbac.authorization.k8s.io" };

impl Strategy for Role {
    fn default(&self, object: &mut Value) {
        json::default(object, "rules", Value::Array(Vec::new()));
    }

    fn prepare_create(&self, tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        escalation::check_role(tx, self.resource, object)
    }

    fn prepare_update(&self, tx: &Transaction<'_>, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        if object.get("rules") == old.get("rules") && object.get("aggregationRule") == old.get("aggregationRule") {
            return Ok(());
        }
        escalation::check_role(tx, self.resource, object)
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let cluster = self.resource.starts_with("cluster");
        for (index, rule) in json::items(object, "/rules").iter().enumerate() {
            let at = format!("rules[{index}]");
            if json::items(rule, "/verbs").is_empty() {
                errors.required(format!("{at}.verbs"), "verbs must contain at least one value");
            }
            let urls = !json::items(rule, "/nonResourceURLs").is_empty();
            if urls && !cluster {
                errors.invalid(
                    format!("{at}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            if urls {
                continue;
            }
            if json::items(rule, "/apiGroups").is_empty() {
                errors.required(format!("{at}.apiGroups"), "resource rules must supply at least one api group");
            }
            if json::items(rule, "/resources").is_empty() {
                errors.required(format!("{at}.resources"), "resource rules must supply at least one resource");
            }
        }
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        names::path_segment_problem(name)
    }
}

pub struct Binding {
    resource: &'static str,
}
pub static ROLE_BINDING: Binding = Binding { resource: "rolebindings.rbac.authorization.k8s.io" };
pub static CLUSTER_ROLE_BINDING: Binding = Binding { resource: "clusterrolebindings.rbac.authorization.k8s.io" };

impl Strategy for Binding {
    fn default(&self, object: &mut Value) {
        json::default(json::object(object, "roleRef"), "apiGroup", GROUP);
        for subject in json::items_mut(object, "/subjects") {
            if subject["kind"] != "ServiceAccount" {
                json::default(subject, "apiGroup", GROUP);
            }
        }
    }

    fn prepare_create(&self, tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        escalation::check_binding(tx, self.resource, object)
    }

    fn prepare_update(&self, tx: &Transaction<'_>, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        if object.get("subjects") == old.get("subjects") && object.get("roleRef") == old.get("roleRef") {
            return Ok(());
        }
        escalation::check_binding(tx, self.resource, object)
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let role = &object["roleRef"];
        let kinds: &[&str] =
            if self.resource.starts_with("cluster") { &["ClusterRole"] } else { &["ClusterRole", "Role"] };
        if !kinds.contains(&json::text(role, "/kind").unwrap_or_default()) {
            errors.not_supported("roleRef.kind", &role["kind"], kinds);
        }
        if json::text(role, "/name").unwrap_or_default().is_empty() {
            errors.required("roleRef.name", "");
        }
        for (index, subject) in json::items(object, "/subjects").iter().enumerate() {
            let at = format!("subjects[{index}]");
            if json::text(subject, "/name").unwrap_or_default().is_empty() {
                errors.required(format!("{at}.name"), "");
            }
            match json::text(subject, "/kind") {
                Some("User" | "Group") => {}
                Some("ServiceAccount") => {
                    if json::text(subject, "/namespace").unwrap_or_default().is_empty() {
                        errors.required(format!("{at}.namespace"), "");
                    }
                }
                other => {
                    errors.not_supported(format!("{at}.kind"), &json!(other), &["Group", "ServiceAccount", "User"])
                }
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        if object["roleRef"] != old["roleRef"] {
            errors.invalid("roleRef", &object["roleRef"], "cannot change roleRef");
        }
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        names::path_segment_problem(name)
    }
}
