//! What is particular about each resource: defaults, preparation, validation. One file per family.

pub mod autoscaler;
pub mod batch;
pub mod config;
pub mod crd;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod ingress;
pub mod limits;
pub mod names;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod pod_spec;
pub mod priority;
pub mod probes;
pub mod quantities;
pub mod replicas;
pub mod roles;
pub mod secret;
pub mod service;
pub mod statefulset;
pub mod views;
pub mod volume;
pub mod webhooks;
pub mod workload;

use serde_json::Value;

use crate::api::Transaction;
use crate::client::DeleteOptions;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;

/// The rules of one resource. Objects are in the stored version.
pub trait Strategy: Send + Sync {
    /// Whether `metadata.generation` counts changes of the spec.
    fn has_generation(&self) -> bool {
        false
    }

    /// Fills what upstream's defaulting fills. Must be idempotent: it runs on every write.
    fn default(&self, _object: &mut Value) {}

    /// A new object's status is the server's, whatever the client sent.
    fn reset_status(&self, object: &mut Value) {
        json::remove(object, "status");
    }

    fn prepare_create(&self, _tx: &Transaction<'_>, _object: &mut Value) -> Result<(), ApiError> {
        Ok(())
    }

    fn prepare_update(&self, _tx: &Transaction<'_>, _object: &mut Value, _old: &Value) -> Result<(), ApiError> {
        Ok(())
    }

    fn validate(&self, _object: &Value, _errors: &mut FieldErrors) {}

    fn validate_update(&self, _object: &Value, _old: &Value, _errors: &mut FieldErrors) {}

    fn name_problem(&self, name: &str) -> Option<String> {
        names::subdomain_problem(name)
    }

    /// What of the metadata a status update may write, beyond nothing.
    fn keep_status_metadata(&self, _stated: &Value, _object: &mut Value) {}

    /// How long a deletion waits; 0 deletes at once.
    fn grace_seconds(&self, _object: &Value, _how: &DeleteOptions) -> i64 {
        0
    }

    /// Called when an object is marked for deletion and stays.
    fn terminate(&self, _object: &mut Value) {}
}

/// Stored as it comes.
pub struct Plain;
pub static PLAIN: Plain = Plain;
impl Strategy for Plain {
    fn name_problem(&self, name: &str) -> Option<String> {
        names::path_segment_problem(name)
    }
}

/// Stored as it comes, with a generation.
pub struct Spec;
pub static SPEC: Spec = Spec;
impl Strategy for Spec {
    fn has_generation(&self) -> bool {
        true
    }
}
