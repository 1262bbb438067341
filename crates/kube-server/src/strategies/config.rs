//! Config maps.

use serde_json::{Value, json};

use super::Strategy;
use crate::field::FieldErrors;
use crate::json;

/// Upstream's bound for config maps and secrets.
pub const MAX_BYTES: usize = 1 << 20;

pub struct ConfigMap;
pub static CONFIG_MAP: ConfigMap = ConfigMap;

pub fn validate_keys(object: &Value, part: &str, errors: &mut FieldErrors) -> usize {
    let mut bytes = 0;
    for (key, value) in object[part].as_object().into_iter().flatten() {
        bytes += value.as_str().map_or(0, str::len);
        let valid = !key.is_empty()
            && key.len() <= 253
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !valid || key == "." || key == ".." {
            let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            errors.invalid(format!("{part}[{key}]"), &json!(key), detail);
        }
    }
    bytes
}

pub fn validate_immutable(object: &Value, old: &Value, parts: &[&str], errors: &mut FieldErrors) {
    if !json::flag(old, "/immutable") {
        return;
    }
    if !json::flag(object, "/immutable") {
        errors.forbidden("immutable", "field is immutable when `immutable` is set");
    }
    for part in parts {
        if object.get(*part) != old.get(*part) {
            errors.forbidden(*part, "field is immutable when `immutable` is set");
        }
    }
}

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let bytes = validate_keys(object, "data", errors) + validate_keys(object, "binaryData", errors);
        if bytes > MAX_BYTES {
            errors.push("", "FieldValueTooLong", format!("Too long: may not be more than {MAX_BYTES} bytes"));
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        validate_immutable(object, old, &["data", "binaryData"], errors);
    }
}
