//! Resource quotas and limit ranges.

use serde_json::{Value, json};

use super::{Strategy, quantities};
use crate::field::FieldErrors;
use crate::json;

pub struct ResourceQuota;
pub static RESOURCE_QUOTA: ResourceQuota = ResourceQuota;

impl Strategy for ResourceQuota {
    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        for (name, value) in object["spec"]["hard"].as_object().into_iter().flatten() {
            match quantities::parse(value) {
                None => errors.invalid(format!("spec.hard[{name}]"), value, quantities::SYNTAX),
                Some(q) if q.is_negative() => {
                    errors.invalid(format!("spec.hard[{name}]"), value, "must be greater than or equal to 0");
                }
                Some(_) => {}
            }
        }
    }
}

pub struct LimitRange;
pub static LIMIT_RANGE: LimitRange = LimitRange;

/// Fills `field` of a limit with what `source` says, name by name.
fn inherit(limit: &mut Value, field: &str, source: &str) {
    let Some(Value::Object(values)) = limit.get(source).cloned() else { return };
    for (name, value) in values {
        json::default(json::object(limit, field), &name, value);
    }
}

impl Strategy for LimitRange {
    /// As upstream: the default limit is the maximum, the default request the default limit, else the minimum.
    fn default(&self, object: &mut Value) {
        for limit in json::items_mut(object, "/spec/limits") {
            if limit["type"] != "Container" {
                continue;
            }
            inherit(limit, "default", "max");
            inherit(limit, "defaultRequest", "default");
            inherit(limit, "defaultRequest", "min");
        }
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        for (index, limit) in json::items(object, "/spec/limits").iter().enumerate() {
            let at = format!("spec.limits[{index}]");
            for (name, least) in limit["min"].as_object().into_iter().flatten() {
                if let (Some(low), Some(high)) = (quantities::parse(least), quantities::parse(&limit["max"][name]))
                    && low.millis() > high.millis()
                {
                    let most = limit["max"][name].as_str().unwrap_or_default();
                    let detail =
                        format!("min value {} is greater than max value {most}", least.as_str().unwrap_or_default());
                    errors.invalid(format!("{at}.min[{name}]"), &json!(least), &detail);
                }
            }
        }
    }
}
