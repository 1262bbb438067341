//! Quantities inside JSON objects.

use serde_json::{Value, json};
use units::Quantity;

use crate::field::FieldErrors;

/// The message upstream gives for text that is not a quantity.
pub const SYNTAX: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

pub fn parse(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

/// Checks that requests are valid and do not exceed limits.
pub fn validate_resources(resources: &Value, path: &str, errors: &mut FieldErrors) {
    for part in ["limits", "requests"] {
        for (name, value) in resources[part].as_object().into_iter().flatten() {
            let field = format!("{path}.{part}[{name}]");
            match parse(value) {
                None => errors.invalid(field, value, SYNTAX),
                Some(quantity) if quantity.is_negative() => {
                    errors.invalid(field, value, "must be greater than or equal to 0")
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        if let (Some(requested), Some(limit)) = (parse(request), parse(&resources["limits"][name]))
            && requested.millis() > limit.millis()
        {
            let detail = format!(
                "must be less than or equal to {name} limit of {}",
                resources["limits"][name].as_str().unwrap_or_default()
            );
            errors.invalid(format!("{path}.requests"), request, &detail);
        }
    }
}

/// Upstream gives a container with a limit and no request a request of that limit.
pub fn default_requests(resources: &mut Value) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    for (name, limit) in limits {
        let requests = crate::json::object(resources, "requests");
        if requests.get(&name).is_none() {
            requests[&name] = limit;
        }
    }
}

pub fn non_negative(object: &Value, pointer: &str, errors: &mut FieldErrors) {
    if let Some(number) = object.pointer(pointer).and_then(Value::as_i64).filter(|n| *n < 0) {
        errors.invalid(
            pointer.trim_start_matches('/').replace('/', "."),
            &json!(number),
            "must be greater than or equal to 0",
        );
    }
}
