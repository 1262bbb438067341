//! The value rules of an `openAPIV3Schema`: what a structural type alone does not say.

use serde_json::{Value, json};

use crate::field::FieldErrors;
use crate::json;

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

pub fn validate(schema: &Value, value: &Value, path: &str, errors: &mut FieldErrors) {
    if value.is_null() {
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<String> =
            allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
        errors.not_supported(path, value, &allowed.iter().map(String::as_str).collect::<Vec<_>>());
    }
    match value {
        Value::Number(_) => number(schema, value, path, errors),
        Value::String(text) => {
            length(schema, value, text.chars().count(), ["minLength", "maxLength"], "chars long", path, errors)
        }
        Value::Array(list) => {
            length(schema, value, list.len(), ["minItems", "maxItems"], "items", path, errors);
            if let Some(items) = schema.get("items") {
                for (index, item) in list.iter().enumerate() {
                    validate(items, item, &format!("{path}[{index}]"), errors);
                }
            }
        }
        Value::Object(map) => {
            for field in json::items(schema, "/required").iter().filter_map(Value::as_str) {
                if !map.contains_key(field) {
                    errors.required(join(path, field), "");
                }
            }
            for (field, inner) in map {
                let rule =
                    schema.get("properties").and_then(|p| p.get(field)).or_else(|| schema.get("additionalProperties"));
                if let Some(rule) = rule.filter(|rule| rule.is_object()) {
                    validate(rule, inner, &join(path, field), errors);
                }
            }
        }
        _ => {}
    }
}

fn number(schema: &Value, value: &Value, path: &str, errors: &mut FieldErrors) {
    let Some(actual) = value.as_f64() else { return };
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(least) = bound("minimum").filter(|least| actual < *least) {
        errors.invalid(path, value, &format!("{} in body should be greater than or equal to {least}", last(path)));
    }
    if let Some(most) = bound("maximum").filter(|most| actual > *most) {
        errors.invalid(path, value, &format!("{} in body should be less than or equal to {most}", last(path)));
    }
}

fn length(
    schema: &Value,
    value: &Value,
    actual: usize,
    names: [&str; 2],
    unit: &str,
    path: &str,
    errors: &mut FieldErrors,
) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    if let Some(least) = bound(names[0]).filter(|least| actual < *least) {
        errors.invalid(path, value, &format!("{} in body should be at least {least} {unit}", last(path)));
    }
    if let Some(most) = bound(names[1]).filter(|most| actual > *most) {
        errors.invalid(path, &json!(value), &format!("{} in body should be at most {most} {unit}", last(path)));
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
