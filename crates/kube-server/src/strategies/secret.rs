//! Secrets. Messages never show a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Strategy, config};
use crate::field::FieldErrors;
use crate::json;

pub struct Secret;
pub static SECRET: Secret = Secret;

/// Keys that a typed secret must have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
];

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        json::default(object, "type", "Opaque");
        let Some(Value::Object(plain)) = object.get("stringData").cloned() else { return };
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            json::object(object, "data")[&key] = json!(encoded);
        }
        json::remove(object, "stringData");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        if config::validate_keys(object, "data", errors) > config::MAX_BYTES * 4 / 3 + 4 {
            errors.push(
                "data",
                "FieldValueTooLong",
                format!("Too long: may not be more than {} bytes", config::MAX_BYTES),
            );
        }
        let kind = json::text(object, "/type").unwrap_or_default();
        for (_, keys) in REQUIRED.iter().filter(|(name, _)| *name == kind) {
            for key in keys.iter().filter(|key| object["data"].get(**key).is_none()) {
                errors.required(format!("data[{key}]"), "");
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        if object["type"] != old["type"] {
            errors.invalid("type", &object["type"], "field is immutable");
        }
        config::validate_immutable(object, old, &["data"], errors);
    }
}
