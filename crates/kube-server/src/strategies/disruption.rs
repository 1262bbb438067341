//! Pod disruption budgets.

use serde_json::{Value, json};

use super::{Strategy, pod_spec};
use crate::field::FieldErrors;

pub struct Budget;
pub static BUDGET: Budget = Budget;

impl Strategy for Budget {
    fn has_generation(&self) -> bool {
        true
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] =
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let spec = &object["spec"];
        if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() {
            errors.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            match spec.get(field) {
                Some(Value::Number(number)) if number.as_i64().is_some_and(|n| n < 0) => {
                    errors.invalid(format!("spec.{field}"), &spec[field], "must be greater than or equal to 0");
                }
                Some(Value::String(text)) if percent(text).is_none() => {
                    errors.invalid(format!("spec.{field}"), &spec[field], "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
                }
                _ => {}
            }
        }
        pod_spec::supported(spec, "unhealthyPodEvictionPolicy", "spec", &["IfHealthyBudget", "AlwaysAllow"], errors);
    }
}

fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.parse().ok()
}
