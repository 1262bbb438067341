//! JSON Patch, RFC 6902, with the extension that upstream's library has: a negative index counts from the end.

use serde_json::Value;

use super::PatchError;

/// Upstream refuses longer patches (`apiserver/pkg/endpoints/handlers/patch.go`, v0.36.3).
const MAX_OPERATIONS: usize = 10_000;

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
    let name = text(operation, "op")?;
    let path_text = text(operation, "path")?;
    let path = pointer(path_text)?;
    let context = |problem: String| PatchError::Unprocessable(format!("{name} operation does not apply: {problem}"));
    match name {
        "add" => add(document, &path, value(operation)?.clone()).map_err(context),
        "remove" => remove(document, &path).map(|_| ()).map_err(context),
        "replace" => replace(document, &path, value(operation)?.clone()).map_err(context),
        "move" => {
            let from = pointer(text(operation, "from")?)?;
            if path.len() > from.len() && path.starts_with(&from) {
                return Err(context(format!("cannot move \"{path_text}\" into itself")));
            }
            let moved = remove(document, &from).map_err(context)?;
            add(document, &path, moved).map_err(context)
        }
        "copy" => {
            let from = pointer(text(operation, "from")?)?;
            let copied = find(document, &from).map_err(context)?.clone();
            add(document, &path, copied).map_err(context)
        }
        "test" => {
            // Upstream takes an absent value for null on both sides.
            let expected = operation.get("value").unwrap_or(&Value::Null);
            let actual = find(document, &path).unwrap_or(&Value::Null);
            if actual == expected {
                return Ok(());
            }
            Err(PatchError::Unprocessable(format!("testing value {path_text} failed: test failed")))
        }
        other => Err(PatchError::Invalid(format!("Unexpected kind: {other}"))),
    }
}

fn text<'o>(operation: &'o Value, field: &str) -> Result<&'o str, PatchError> {
    operation
        .get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| PatchError::Invalid(format!("operation {operation} lacks \"{field}\"")))
}

fn value(operation: &Value) -> Result<&Value, PatchError> {
    operation.get("value").ok_or_else(|| PatchError::Invalid(format!("operation {operation} lacks \"value\"")))
}

fn pointer(path: &str) -> Result<Vec<String>, PatchError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let steps = path
        .strip_prefix('/')
        .ok_or_else(|| PatchError::Invalid(format!("path \"{path}\" does not start with \"/\"")))?;
    Ok(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn missing(path: &[String]) -> String {
    format!("doc is missing path: \"/{}\": missing value", path.join("/"))
}

fn find<'v>(document: &'v Value, path: &[String]) -> Result<&'v Value, String> {
    path.iter()
        .try_fold(document, |at, step| match at {
            Value::Object(map) => map.get(step),
            Value::Array(items) => items.get(index(step, items.len())?),
            _ => None,
        })
        .ok_or_else(|| missing(path))
}

fn find_mut<'v>(document: &'v mut Value, path: &[String]) -> Result<&'v mut Value, String> {
    path.iter()
        .try_fold(document, |at, step| match at {
            Value::Object(map) => map.get_mut(step),
            Value::Array(items) => {
                let index = index(step, items.len())?;
                items.get_mut(index)
            }
            _ => None,
        })
        .ok_or_else(|| missing(path))
}

/// A list index, from the end when negative; `None` when it is no number or lies before the start.
fn index(step: &str, length: usize) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let index = if index < 0 { index + i64::try_from(length).ok()? } else { index };
    usize::try_from(index).ok()
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, parent)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find_mut(document, parent).map_err(|_| missing(path))? {
        Value::Object(map) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) if last == "-" => {
            items.push(value);
            Ok(())
        }
        // A negative index names the place after the insertion, so the length is one more.
        Value::Array(items) => match index(last, items.len() + 1) {
            Some(index) if index <= items.len() => {
                items.insert(index, value);
                Ok(())
            }
            _ => Err(format!("Unable to access invalid index: {last}: invalid index referenced")),
        },
        _ => Err(missing(path)),
    }
}

fn remove(document: &mut Value, path: &[String]) -> Result<Value, String> {
    let Some((last, parent)) = path.split_last() else {
        return Err("the whole document cannot be removed".to_owned());
    };
    match find_mut(document, parent).map_err(|_| missing(path))? {
        Value::Object(map) => {
            map.shift_remove(last).ok_or_else(|| format!("Unable to remove nonexistent key: {last}: missing value"))
        }
        Value::Array(items) => match index(last, items.len()) {
            Some(index) if index < items.len() => Ok(items.remove(index)),
            _ => Err(format!("Unable to access invalid index: {last}: invalid index referenced")),
        },
        _ => Err(missing(path)),
    }
}

fn replace(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    *find_mut(document, path).map_err(|_| format!("doc is missing key: /{}: missing value", path.join("/")))? = value;
    Ok(())
}
