//! JSON Patch, RFC 6902, as upstream's library does it (`gopkg.in/evanphx/json-patch.v4`, v4.13.0): a negative index
//! counts from the end, `replace` sets a field that was not there, and an absent field reads as null.

use serde_json::Value;

use super::PatchError;

/// Upstream refuses longer patches (`apiserver/pkg/endpoints/handlers/patch.go`, v0.36.3).
const MAX_OPERATIONS: usize = 10_000;

const MISSING: &str = "missing value";

/// Applies the operations of `patch` to `live`, all or none.
///
/// # Errors
/// [`PatchError::Invalid`] when `patch` is no list of operations; [`PatchError::Unprocessable`] when an operation does
/// not fit the object or a test fails.
pub fn json(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| PatchError::Invalid("error decoding patch: a JSON patch is a list of operations".to_owned()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::Unprocessable(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut patched = live.clone();
    for operation in operations {
        apply(&mut patched, operation)?;
    }
    Ok(patched)
}

fn apply(document: &mut Value, operation: &Value) -> Result<(), PatchError> {
    let name = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let run = match name {
        "add" => add,
        "remove" => remove,
        "replace" => replace,
        "move" => move_,
        "copy" => copy,
        "test" => test,
        other => return Err(PatchError::Unprocessable(format!("Unexpected kind: {other}"))),
    };
    run(document, operation).map_err(PatchError::Unprocessable)
}

/// A pointer of an operation, as written.
fn pointer<'o>(operation: &'o Value, field: &str) -> Result<&'o str, String> {
    operation.get(field).and_then(Value::as_str).ok_or_else(|| {
        format!("{} operation failed to decode {field}: missing value", operation["op"].as_str().unwrap_or_default())
    })
}

/// The value of an operation. As upstream, one that is left out is null.
fn value(operation: &Value) -> Value {
    operation.get("value").cloned().unwrap_or_default()
}

fn add(document: &mut Value, operation: &Value) -> Result<(), String> {
    let path = pointer(operation, "path")?;
    let (parent, key) = parent(document, path)
        .ok_or_else(|| format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
    insert(parent, key, value(operation)).map_err(|problem| format!("error in add for path: '{path}': {problem}"))
}

fn remove(document: &mut Value, operation: &Value) -> Result<(), String> {
    let path = pointer(operation, "path")?;
    let (parent, key) = parent(document, path)
        .ok_or_else(|| format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
    take(parent, &key).map(|_| ()).map_err(|problem| format!("error in remove for path: '{path}': {problem}"))
}

fn replace(document: &mut Value, operation: &Value) -> Result<(), String> {
    let path = pointer(operation, "path")?;
    let value = value(operation);
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array".to_owned());
        }
        *document = value;
        return Ok(());
    }
    let (parent, key) = parent(document, path)
        .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
    match parent {
        Value::Array(items) => {
            let index = existing(items, &key)
                .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"))?;
            items[index] = value;
        }
        // Upstream's library sets a field whether it was there or not.
        Value::Object(map) => {
            map.insert(key, value);
        }
        _ => {}
    }
    Ok(())
}

fn move_(document: &mut Value, operation: &Value) -> Result<(), String> {
    let from = pointer(operation, "from")?;
    let (source, key) = parent(document, from)
        .ok_or_else(|| format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
    let moved = take(source, &key).map_err(|problem| format!("error in move for path: '{key}': {problem}"))?;
    let path = pointer(operation, "path")?;
    let (target, key) = parent(document, path)
        .ok_or_else(|| format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}"))?;
    insert(target, key, moved).map_err(|problem| format!("error in move for path: '{path}': {problem}"))
}

fn copy(document: &mut Value, operation: &Value) -> Result<(), String> {
    let from = pointer(operation, "from")?;
    let (source, key) = parent(document, from)
        .ok_or_else(|| format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
    let copied = read(source, &key).map_err(|problem| format!("error in copy for from: '{from}': {problem}"))?.clone();
    let path = pointer(operation, "path")?;
    let (target, key) = parent(document, path)
        .ok_or_else(|| format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}"))?;
    insert(target, key, copied).map_err(|problem| format!("error while adding value during copy: {problem}"))
}

fn test(document: &mut Value, operation: &Value) -> Result<(), String> {
    let path = pointer(operation, "path")?;
    let actual = if path.is_empty() {
        document
    } else {
        let (parent, key) = parent(document, path)
            .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
        read(parent, &key).map_err(|problem| format!("error in test for path: '{path}': {problem}"))?
    };
    if *actual == value(operation) {
        return Ok(());
    }
    Err(format!("testing value {path} failed: test failed"))
}

/// The list or object that the last step of a path is in, and that step. What stands before the first slash is ignored.
fn parent<'v>(document: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let mut steps: Vec<String> =
        path.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let last = steps.pop()?;
    let parent = steps.iter().try_fold(document, |at, step| match at {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => {
            let index = existing(items, step).ok()?;
            items.get_mut(index)
        }
        _ => None,
    })?;
    (parent.is_object() || parent.is_array()).then_some((parent, last))
}

fn number(step: &str) -> Result<i64, String> {
    step.parse().map_err(|_| format!("strconv.Atoi: parsing {step:?}: invalid syntax"))
}

/// A place in a list with `length` places, counted from the end when negative.
fn place(index: i64, length: usize) -> Result<usize, String> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index + length } else { index };
    usize::try_from(from_start)
        .ok()
        .filter(|_| from_start < length)
        .ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

fn existing(items: &[Value], step: &str) -> Result<usize, String> {
    place(number(step)?, items.len())
}

static NULL: Value = Value::Null;

/// As upstream, an absent field of an object reads as null.
fn read<'v>(parent: &'v Value, key: &str) -> Result<&'v Value, String> {
    match parent {
        Value::Array(items) => Ok(&items[existing(items, key)?]),
        other => Ok(other.get(key).unwrap_or(&NULL)),
    }
}

fn insert(parent: &mut Value, key: String, value: Value) -> Result<(), String> {
    match parent {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index =
                number(&key).map_err(|problem| format!("value was not a proper array index: '{key}': {problem}"))?;
            // A negative index names the place after the insertion, so there is one place more.
            let place = place(index, items.len() + 1)?;
            items.insert(place, value);
        }
        _ => {}
    }
    Ok(())
}

fn take(parent: &mut Value, key: &str) -> Result<Value, String> {
    match parent {
        Value::Array(items) => {
            let index = existing(items, key)?;
            Ok(items.remove(index))
        }
        Value::Object(map) => {
            map.shift_remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
        }
        _ => Ok(Value::Null),
    }
}
