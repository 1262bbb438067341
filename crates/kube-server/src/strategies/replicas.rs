//! Replica sets, and the replication controllers they succeeded.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, quantities, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct ReplicaSet;
pub static REPLICA_SET: ReplicaSet = ReplicaSet;

impl Strategy for ReplicaSet {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        workload::default_template(object);
        json::default(&mut object["spec"], "replicas", 1);
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        workload::validate(object, &["Always"], errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/spec/selector", errors);
    }
}

pub struct ReplicationController;
pub static REPLICATION_CONTROLLER: ReplicationController = ReplicationController;

impl Strategy for ReplicationController {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        workload::default_template(object);
        let labels = object["spec"]["template"]["metadata"].get("labels").cloned();
        json::default(&mut object["spec"], "replicas", 1);
        if let Some(labels) = labels {
            json::default(&mut object["spec"], "selector", labels);
        }
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        quantities::non_negative(object, "/spec/replicas", errors);
        pod_spec::validate(&object["spec"]["template"]["spec"], "spec.template.spec", errors);
        if object["spec"]["selector"].as_object().is_none_or(|s| s.is_empty()) {
            errors.required("spec.selector", "");
        }
    }
}
