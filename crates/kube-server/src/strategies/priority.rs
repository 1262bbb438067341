//! Priority classes.

use serde_json::Value;

use super::{Strategy, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct PriorityClass;
pub static PRIORITY_CLASS: PriorityClass = PriorityClass;

/// User classes end here; the system's own begin at twice this.
pub const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Value) {
        json::default(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let (name, value) = (json::name(object), json::integer(object, "/value").unwrap_or(0));
        if name.starts_with("system-") {
            if !["system-node-critical", "system-cluster-critical"].contains(&name) {
                errors.forbidden(
                    "metadata.name",
                    "priority class names with 'system-' prefix are reserved for system use only",
                );
            }
        } else if value > HIGHEST_USER_PRIORITY {
            let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
            errors.forbidden("value", &detail);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        if object["value"] != old["value"] {
            errors.forbidden("value", "may not be changed in an update.");
        }
        workload::immutable(object, old, "/preemptionPolicy", errors);
    }
}
