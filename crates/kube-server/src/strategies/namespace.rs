//! Namespaces.

use serde_json::{Value, json};

use super::{Strategy, names};
use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

pub struct Namespace;
pub static NAMESPACE: Namespace = Namespace;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        let name = json::name(object).to_owned();
        json::object(json::object(object, "metadata"), "labels")[NAME_LABEL] = json!(name);
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Active"});
    }

    /// The finalizer keeps the namespace until its content is gone.
    fn prepare_create(&self, _tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        json::object(object, "spec")["finalizers"] = json!(["kubernetes"]);
        Ok(())
    }

    fn prepare_update(&self, _tx: &Transaction<'_>, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        let kept = old.pointer("/spec/finalizers").cloned();
        json::assign(json::object(object, "spec"), "finalizers", kept);
        Ok(())
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        names::label_problem(name)
    }

    fn terminate(&self, object: &mut Value) {
        json::object(object, "status")["phase"] = json!("Terminating");
    }
}
