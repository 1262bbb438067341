//! Deployments.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct Deployment;
pub static DEPLOYMENT: Deployment = Deployment;

impl Strategy for Deployment {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        workload::default_template(object);
        let spec = json::object(object, "spec");
        json::default(spec, "replicas", 1);
        json::default(spec, "revisionHistoryLimit", 10);
        json::default(spec, "progressDeadlineSeconds", 600);
        let strategy = json::object(spec, "strategy");
        json::default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = json::object(strategy, "rollingUpdate");
            json::default(rolling, "maxUnavailable", "25%");
            json::default(rolling, "maxSurge", "25%");
        }
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        workload::validate(object, &["Always"], errors);
        let strategy = &object["spec"]["strategy"];
        pod_spec::supported(strategy, "type", "spec.strategy", &["Recreate", "RollingUpdate"], errors);
        let zero = |field: &str| {
            strategy.pointer(&format!("/rollingUpdate/{field}")).is_some_and(|v| v == &json!(0) || v == &json!("0%"))
        };
        if zero("maxSurge") && zero("maxUnavailable") {
            let at = "spec.strategy.rollingUpdate.maxUnavailable";
            errors.invalid(at, &strategy["rollingUpdate"]["maxUnavailable"], "may not be 0 when `maxSurge` is 0");
        }
        if strategy["type"] == "Recreate" && strategy.get("rollingUpdate").is_some() {
            errors.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/spec/selector", errors);
    }
}
