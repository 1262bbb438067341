//! JSON Merge Patch, RFC 7386.

use serde_json::{Map, Value};

/// `live` with `patch` merged in: `null` removes a field, an object merges, anything else replaces.
pub fn merge(live: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = live.as_object().cloned().unwrap_or_default();
    for (field, change) in patch {
        if change.is_null() {
            merged.shift_remove(field);
            continue;
        }
        let before = merged.get(field).unwrap_or(&Value::Null);
        let after = merge(before, change);
        merged.insert(field.clone(), after);
    }
    Value::Object(merged)
}

/// The smallest merge patch that makes `after` of `before`. Where `after` has a `null` field no merge patch can say so;
/// the patch then leaves the field out.
pub fn merge_diff(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    for (field, value) in after {
        match before.get(field) {
            Some(same) if same == value => {}
            // A merge with something that is no object starts from nothing, which the whole value says as well.
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(field.clone(), merge_diff(old, value));
            }
            _ => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}
