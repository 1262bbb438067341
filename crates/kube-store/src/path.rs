//! Reading and writing nested JSON by a list of field names.

use serde_json::{Map, Value};

/// The value at `path`, if every step is an object that has the next field.
pub fn get<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |at, field| at.as_object()?.get(*field))
}

/// The text at `path`.
pub fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    get(value, path)?.as_str()
}

/// The object at `field`, made when it is absent or something else.
pub fn object_at<'v>(parent: &'v mut Map<String, Value>, field: &str) -> &'v mut Map<String, Value> {
    let slot = parent.entry(field).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    let Value::Object(map) = slot else { unreachable!("the slot was made an object above") };
    map
}

/// The JSON type as the API's messages name it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
