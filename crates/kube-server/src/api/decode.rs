//! From a request's body to an object of its type: decoding, unknown fields, canonical form.

use serde_json::Value;

use crate::error::ApiError;
use crate::registry::{Origin, ResourceDef};
use crate::strategies::quantities;

/// What happens to fields that the type does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Maps whose values are quantities, which manifests also write as numbers.
const QUANTITY_MAPS: &[&str] = &[
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "hard",
    "used",
    "default",
    "defaultRequest",
    "max",
    "min",
    "overhead",
    "maxLimitRequestRatio",
    "allocatedResources",
    "podFixed",
];
const QUANTITIES: &[&str] = &["averageValue", "sizeLimit", "divisor"];

/// The object in its type's canonical form, and warnings about fields that were dropped.
pub fn decode(
    def: &ResourceDef,
    mut value: Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    check_identity(def, &value)?;
    let (object, unknown) = match &def.origin {
        Origin::BuiltIn { normalize, .. } => {
            canonical_quantities(&mut value);
            let object = normalize(&value).map_err(|why| cannot_handle(def, &why))?;
            let mut unknown = Vec::new();
            if validation != FieldValidation::Ignore {
                unknown_fields(&value, &object, &mut String::new(), &mut unknown);
            }
            (object, unknown)
        }
        Origin::Custom(custom) => custom.decode(value).map_err(|why| cannot_handle(def, &why))?,
    };
    let problems: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            Err(cannot_handle(def, &format!("strict decoding error: {}", problems.join(", "))))
        }
        FieldValidation::Warn => Ok((object, problems)),
        _ => Ok((object, Vec::new())),
    }
}

fn cannot_handle(def: &ResourceDef, why: &str) -> ApiError {
    let (kind, version) = (&def.kind, &def.version);
    ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

/// The body may leave its type out (upstream takes it from the path); a different one is an error.
fn check_identity(def: &ResourceDef, value: &Value) -> Result<(), ApiError> {
    if !value.is_object() {
        return Err(ApiError::bad_request("the request's body is not a JSON object"));
    }
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let expected = def.api_version();
    if !api_version.is_empty() && api_version != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != def.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            def.kind
        )));
    }
    Ok(())
}

/// Numbers become text, and text its canonical form (`1000m` is `1`), as decoding does upstream. What is no quantity is left
/// for validation to name.
fn canonical(value: &mut Value) {
    if let Value::Number(number) = value {
        *value = Value::String(number.to_string());
    }
    if let Some(quantity) = quantities::parse(value) {
        *value = Value::String(quantity.to_string());
    }
}

fn canonical_quantities(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A scaling policy has a type and a value too, but its value is a plain number.
            let metric_target = map.get("type").is_some_and(Value::is_string)
                && map.contains_key("value")
                && !map.contains_key("periodSeconds");
            for (key, child) in map.iter_mut() {
                if QUANTITIES.contains(&key.as_str()) || (metric_target && key == "value") {
                    canonical(child);
                } else if QUANTITY_MAPS.contains(&key.as_str())
                    && let Value::Object(inner) = child
                {
                    inner.values_mut().for_each(canonical);
                }
                canonical_quantities(child);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(canonical_quantities),
        _ => {}
    }
}

/// What the input has and the decoded object has not. Nulls and empty values may vanish without being unknown.
fn unknown_fields(input: &Value, decoded: &Value, path: &mut String, unknown: &mut Vec<String>) {
    match (input, decoded) {
        (Value::Object(input), Value::Object(decoded)) => {
            for (key, value) in input {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match decoded.get(key) {
                    Some(kept) => unknown_fields(value, kept, path, unknown),
                    None if !value.is_null() => unknown.push(path.clone()),
                    None => {}
                }
                path.truncate(length);
            }
        }
        (Value::Array(input), Value::Array(decoded)) => {
            for (index, (value, kept)) in input.iter().zip(decoded).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                unknown_fields(value, kept, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
