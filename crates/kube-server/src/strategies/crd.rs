//! Custom resource definitions. They are established in the write that creates them: nothing else has to agree.

use serde_json::{Value, json};

use super::Strategy;
use crate::api::Transaction;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;
use crate::registry::custom::CustomResource;

pub struct Definition;
pub static DEFINITION: Definition = Definition;

fn condition(kind: &str, reason: &str, message: &str, at: &str) -> Value {
    json!({"type": kind, "status": "True", "lastTransitionTime": at, "reason": reason, "message": message})
}

impl Strategy for Definition {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(json::object(spec, "conversion"), "strategy", "None");
        let names = json::object(spec, "names");
        let kind = json::text(names, "/kind").unwrap_or_default().to_owned();
        json::default(names, "singular", kind.to_lowercase());
        json::default(names, "listKind", format!("{kind}List"));
    }

    fn prepare_create(&self, tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        let at = tx.now.truncated().rfc3339();
        let stored: Vec<Value> = json::items(object, "/spec/versions")
            .iter()
            .filter(|v| json::flag(v, "/storage"))
            .map(|v| v["name"].clone())
            .collect();
        object["status"] = json!({
            "acceptedNames": object["spec"]["names"],
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found", &at),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted", &at),
            ],
            "storedVersions": stored,
        });
        Ok(())
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let spec = &object["spec"];
        let (group, plural) =
            (json::text(spec, "/group").unwrap_or_default(), json::text(spec, "/names/plural").unwrap_or_default());
        for (value, field) in [(group, "spec.group"), (plural, "spec.names.plural")] {
            if value.is_empty() {
                errors.required(field, "");
            }
        }
        if json::text(spec, "/names/kind").unwrap_or_default().is_empty() {
            errors.required("spec.names.kind", "");
        }
        if json::name(object) != format!("{plural}.{group}") {
            errors.invalid("metadata.name", &object["metadata"]["name"], "must be spec.names.plural+\".\"+spec.group");
        }
        if !["Namespaced", "Cluster"].contains(&json::text(spec, "/scope").unwrap_or_default()) {
            errors.not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]);
        }
        if spec["conversion"]["strategy"] != "None" {
            errors.invalid(
                "spec.conversion.strategy",
                &spec["conversion"]["strategy"],
                "this server does not call conversion webhooks; use None",
            );
        }
        let versions = json::items(spec, "/versions");
        if versions.iter().filter(|v| json::flag(v, "/storage")).count() != 1 {
            errors.invalid(
                "spec.versions",
                &json!(versions.len()),
                "must have exactly one version marked as storage version",
            );
        }
        for (index, version) in versions.iter().enumerate() {
            if version.pointer("/schema/openAPIV3Schema").is_none() {
                errors.required(format!("spec.versions[{index}].schema.openAPIV3Schema"), "schemas are required");
            } else if let Err(problem) = CustomResource::new(object, version) {
                errors.invalid(format!("spec.versions[{index}].schema.openAPIV3Schema"), &json!(""), &problem);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        for pointer in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
            super::workload::immutable(object, old, pointer, errors);
        }
    }
}
