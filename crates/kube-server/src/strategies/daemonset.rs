//! Daemon sets.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct DaemonSet;
pub static DAEMON_SET: DaemonSet = DaemonSet;

impl Strategy for DaemonSet {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        workload::default_template(object);
        let spec = json::object(object, "spec");
        json::default(spec, "revisionHistoryLimit", 10);
        let strategy = json::object(spec, "updateStrategy");
        json::default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = json::object(strategy, "rollingUpdate");
            json::default(rolling, "maxUnavailable", 1);
            json::default(rolling, "maxSurge", 0);
        }
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        workload::validate(object, &["Always"], errors);
        let strategy = &object["spec"]["updateStrategy"];
        pod_spec::supported(strategy, "type", "spec.updateStrategy", &["RollingUpdate", "OnDelete"], errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/spec/selector", errors);
    }
}
