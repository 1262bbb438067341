//! Arrays and objects.

use serde_json::{Map, Value};

use super::Call;
use crate::expression::Evaluated;
use crate::expression::evaluate::{member, text_of};

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "concat" => concat(call),
        "array" => {
            call.value(0).map(|value| if value.is_array() { value.clone() } else { Value::Array(vec![value.clone()]) })
        }
        "createarray" => Ok(Value::Array(call.values.to_vec())),
        "createobject" => create_object(call),
        "contains" => contains(call),
        "empty" => call.value(0).map(|value| Value::Bool(length(value) == Some(0) || value.is_null())),
        "length" => call.value(0).and_then(|value| {
            length(value)
                .map_or_else(|| call.fail("expects a string, an array or an object"), |length| Ok(length.into()))
        }),
        "first" => edge(call, true),
        "last" => edge(call, false),
        "skip" => slice(call, true),
        "take" => slice(call, false),
        "range" => range(call),
        "union" => union(call),
        "intersection" => intersection(call),
        "items" => items(call),
        "objectkeys" => call.object(0).map(|members| sorted_keys(members).into()),
        "shallowmerge" => call.array(0).map(|objects| {
            Value::Object(
                objects
                    .iter()
                    .filter_map(Value::as_object)
                    .flatten()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            )
        }),
        "flatten" => call.array(0).map(|arrays| {
            Value::Array(
                arrays
                    .iter()
                    .flat_map(|inner| inner.as_array().cloned().unwrap_or_else(|| vec![inner.clone()]))
                    .collect(),
            )
        }),
        "join" => {
            call.array(0).and_then(|parts| Ok(parts.iter().map(text_of).collect::<Vec<_>>().join(call.text(1)?).into()))
        }
        "indexof" => call.array(0).map(|parts| {
            parts.iter().position(|part| Some(part) == call.values.get(1)).map_or(-1, |at| at as i64).into()
        }),
        "lastindexof" => call.array(0).map(|parts| {
            parts.iter().rposition(|part| Some(part) == call.values.get(1)).map_or(-1, |at| at as i64).into()
        }),
        "tryget" => try_get(call),
        _ => return None,
    })
}

fn concat(call: &Call<'_>) -> Evaluated {
    let mut joined = Vec::new();
    for index in 0..call.values.len() {
        joined.extend(call.array(index)?.iter().cloned());
    }
    Ok(Value::Array(joined))
}

fn create_object(call: &Call<'_>) -> Evaluated {
    if !call.values.len().is_multiple_of(2) {
        return call.fail("expects keys and values in pairs");
    }
    let mut members = Map::new();
    for pair in call.values.chunks(2) {
        members.insert(text_of(&pair[0]), pair[1].clone());
    }
    Ok(Value::Object(members))
}

fn contains(call: &Call<'_>) -> Evaluated {
    call.count(2..=2)?;
    let wanted = &call.values[1];
    Ok(Value::Bool(match &call.values[0] {
        Value::Array(items) => items.contains(wanted),
        Value::Object(members) => member(members, &text_of(wanted)).is_some(),
        Value::String(text) => text.contains(&text_of(wanted)),
        _ => return call.fail("expects a string, an array or an object"),
    }))
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

fn edge(call: &Call<'_>, first: bool) -> Evaluated {
    Ok(match call.value(0)? {
        Value::Array(items) => if first { items.first() } else { items.last() }.cloned().unwrap_or(Value::Null),
        Value::String(text) => if first { text.chars().next() } else { text.chars().next_back() }
            .map_or(String::new(), String::from)
            .into(),
        _ => return call.fail("expects an array or a string"),
    })
}

fn slice(call: &Call<'_>, skip: bool) -> Evaluated {
    let count = call.integer(1)?.max(0) as usize;
    Ok(match call.value(0)? {
        Value::Array(items) => Value::Array(if skip {
            items.iter().skip(count).cloned().collect()
        } else {
            items.iter().take(count).cloned().collect()
        }),
        Value::String(text) => {
            Value::String(if skip { text.chars().skip(count).collect() } else { text.chars().take(count).collect() })
        }
        _ => return call.fail("expects an array or a string"),
    })
}

fn range(call: &Call<'_>) -> Evaluated {
    let (start, count) = (call.integer(0)?, call.integer(1)?);
    match start.checked_add(count) {
        Some(end) if (0..=10_000).contains(&count) => Ok((start..end).collect::<Vec<_>>().into()),
        _ => call.fail("expects a count between 0 and 10000"),
    }
}

fn union(call: &Call<'_>) -> Evaluated {
    if call.value(0)?.is_object() {
        let mut merged = Map::new();
        for index in 0..call.values.len() {
            merge(&mut merged, call.object(index)?);
        }
        return Ok(Value::Object(merged));
    }
    let mut all: Vec<Value> = Vec::new();
    for index in 0..call.values.len() {
        for item in call.array(index)? {
            if !all.contains(item) {
                all.push(item.clone());
            }
        }
    }
    Ok(Value::Array(all))
}

/// Nested objects are merged, everything else is replaced by the later one.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn intersection(call: &Call<'_>) -> Evaluated {
    if call.value(0)?.is_object() {
        let mut common = call.object(0)?.clone();
        for index in 1..call.values.len() {
            let other = call.object(index)?;
            common.retain(|key, value| other.get(key) == Some(value));
        }
        return Ok(Value::Object(common));
    }
    let mut common = call.array(0)?.clone();
    for index in 1..call.values.len() {
        let other = call.array(index)?;
        common.retain(|item| other.contains(item));
    }
    Ok(Value::Array(common))
}

fn sorted_keys(members: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<String> = members.keys().cloned().collect();
    keys.sort_by_key(|key| key.to_lowercase());
    keys
}

fn items(call: &Call<'_>) -> Evaluated {
    let members = call.object(0)?;
    Ok(sorted_keys(members).into_iter().map(|key| serde_json::json!({ "key": key, "value": members[&key] })).collect())
}

fn try_get(call: &Call<'_>) -> Evaluated {
    let mut value = call.value(0)?.clone();
    for step in &call.values[1..] {
        let next = match (&value, step) {
            (Value::Object(members), Value::String(name)) => member(members, name).cloned(),
            (Value::Array(items), Value::Number(at)) => at.as_u64().and_then(|at| items.get(at as usize).cloned()),
            _ => None,
        };
        value = match next {
            Some(next) => next,
            None => return Ok(Value::Null),
        };
    }
    Ok(value)
}
