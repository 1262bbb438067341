//! Differences between JSON values.

use serde_json::Value;

use crate::change::PropertyChange;

/// True when everything that `desired` says is so in `live`. What only `live` has (defaults, status, fields of others) does
/// not matter. Lists of objects match by what Kubernetes keys them by, others element by element.
pub(super) fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired
            .iter()
            .all(|(name, wanted)| live.get(name).map_or_else(|| is_empty(wanted), |found| contains(found, wanted))),
        (Value::Array(live), Value::Array(desired)) => match list_key(desired) {
            Some(key) => desired
                .iter()
                .all(|wanted| live.iter().any(|found| found.get(key) == wanted.get(key) && contains(found, wanted))),
            None => {
                live.len() == desired.len() && live.iter().zip(desired).all(|(found, wanted)| contains(found, wanted))
            }
        },
        (Value::Number(live), Value::Number(desired)) => live.as_f64() == desired.as_f64(),
        (live, desired) => live == desired,
    }
}

/// The API drops empty maps and lists; an object that asks for one has it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn list_key(list: &[Value]) -> Option<&'static str> {
    ["name", "mountPath", "containerPort", "port"]
        .into_iter()
        .find(|key| !list.is_empty() && list.iter().all(|item| item.get(key).is_some()))
}

/// What differs, leaf by leaf. Bookkeeping of the API server and of this program is left out.
pub(super) fn differences(before: &Value, after: &Value, secret: bool) -> Vec<PropertyChange> {
    let mut out = Vec::new();
    walk("", before, after, &mut out);
    out.retain(|change| !is_bookkeeping(&change.path));
    if secret {
        for change in
            out.iter_mut().filter(|change| change.path.starts_with("data") || change.path.starts_with("stringData"))
        {
            change.before = None;
            change.after = Some(Value::String("(secret)".into()));
        }
    }
    out
}

fn is_bookkeeping(path: &str) -> bool {
    const OWN: [&str; 6] = [
        "metadata.managedFields",
        "metadata.resourceVersion",
        "metadata.generation",
        "metadata.uid",
        "metadata.creationTimestamp",
        "status",
    ];
    OWN.iter().any(|own| path == *own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('.')))
}

fn walk(path: &str, before: &Value, after: &Value, out: &mut Vec<PropertyChange>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                walk(&join(name), old.get(name).unwrap_or(&Value::Null), value, out);
            }
            for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                walk(&join(name), value, &Value::Null, out);
            }
        }
        (Value::Array(old), Value::Array(new)) => match list_key(new).filter(|_| list_key(old) == list_key(new)) {
            Some(key) => walk_keyed(path, key, old, new, out),
            None if old != new => out.push(leaf(path, before, after)),
            None => {}
        },
        (old, new) if old != new => out.push(leaf(path, old, new)),
        _ => {}
    }
}

fn walk_keyed(path: &str, key: &str, old: &[Value], new: &[Value], out: &mut Vec<PropertyChange>) {
    let label = |item: &Value| match &item[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for item in new {
        let previous = old.iter().find(|other| other[key] == item[key]).unwrap_or(&Value::Null);
        walk(&format!("{path}[{}]", label(item)), previous, item, out);
    }
    for item in old.iter().filter(|item| !new.iter().any(|other| other[key] == item[key])) {
        out.push(leaf(&format!("{path}[{}]", label(item)), item, &Value::Null));
    }
}

fn leaf(path: &str, before: &Value, after: &Value) -> PropertyChange {
    let shown = |value: &Value| (!value.is_null()).then(|| value.clone());
    PropertyChange { path: path.to_owned(), before: shown(before), after: shown(after) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_contains(live: Value, desired: Value, expected: bool) {
        assert_eq!(contains(&live, &desired), expected, "{live} ⊇ {desired}");
    }

    #[test]
    fn only_what_is_declared_matters() {
        check_contains(json!({"a": 1, "b": 2}), json!({"a": 1}), true);
        check_contains(json!({"a": 1}), json!({"a": 2}), false);
        check_contains(json!({"a": 1}), json!({"a": 1.0}), true);
        check_contains(json!({}), json!({"a": {}}), true);
        check_contains(json!({}), json!({"a": {"b": 1}}), false);
        check_contains(json!([{"name": "x", "v": 1}, {"name": "sidecar"}]), json!([{"name": "x", "v": 1}]), true);
        check_contains(json!(["a", "b"]), json!(["a"]), false);
    }

    #[test]
    fn differences_have_readable_paths() {
        let before = json!({"metadata": {"resourceVersion": "1"}, "spec": {"containers": [{"name": "web", "image": "a:1"}], "old": true}});
        let after =
            json!({"metadata": {"resourceVersion": "2"}, "spec": {"containers": [{"name": "web", "image": "a:2"}]}});
        let paths: Vec<String> = differences(&before, &after, false).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["spec.containers[web].image", "spec.old"]);
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let changes = differences(&json!({"data": {"p": "b2xk"}}), &json!({"data": {"p": "bmV3"}}), true);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].before.as_ref(), changes[0].after.as_ref()), (None, Some(&json!("(secret)"))));
    }
}
