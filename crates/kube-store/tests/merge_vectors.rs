//! Patches, field ownership and selectors against what the genuine code made of the same calls (`conformance/merge`).
//!
//! All vectors must agree. What is left out of the comparison, and why:
//! - nulls in typed fields and, of built-in types, fields that are empty: another part of a server drops or adds them
//!   (see `normalized`);
//! - texts of refusals in which upstream prints Go values or regular expressions;
//! - when the vectors are made: strategic patches that mean different things in different orders of a Go map, patches
//!   that make upstream panic, and objects that its types do not decode.
//!
//! Not covered: entries of other API versions, which are compared by path here and converted upstream.
//!
//! `MERGE_VECTORS` names the folder of another, larger run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use kube_store::apply::{ApplyError, Writer, apply, track_update};
use kube_store::patch;
use kube_store::schema::{Resolved, Schema, Type, TypeId};
use kube_store::selector::{FieldSelector, LabelSelector};
use serde::Deserialize;
use serde_json::{Value, json};
use units::Timestamp;

#[derive(Deserialize)]
struct Header {
    count: usize,
    widget: Value,
}

#[derive(Deserialize)]
struct Vector {
    op: String,
    #[serde(default, rename = "type")]
    type_name: String,
    #[serde(default)]
    live: Option<Value>,
    #[serde(rename = "in")]
    input: Value,
    #[serde(default)]
    manager: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    want: Value,
    #[serde(default)]
    conflict: String,
    #[serde(default)]
    error: String,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Object(Value),
    /// With its message.
    Conflict(String),
    /// With its message, unless upstream prints Go values in it.
    Refused(Option<String>),
}

const NOW: &str = "2030-01-01T00:00:00Z";

fn read(name: &str) -> (Header, Vec<Vector>) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors");
    let path = std::env::var_os("MERGE_VECTORS").map_or(committed, PathBuf::from).join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = BufReader::new(GzDecoder::new(file)).lines().map(Result::unwrap);
    let header: Header = serde_json::from_str(&lines.next().unwrap()).unwrap();
    let vectors: Vec<Vector> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(vectors.len(), header.count, "{name} is cut short");
    (header, vectors)
}

/// A refusal, with its text where that is comparable: elsewhere upstream prints Go values or regular expressions.
fn refused(vector: &Vector, text: &str) -> Outcome {
    let speaks = matches!(vector.op.as_str(), "json" | "labels" | "fields") && !vector.error.contains("Invalid value");
    Outcome::Refused(speaks.then(|| text.to_owned()))
}

fn nested(flat: &Value) -> Value {
    let mut object = json!({});
    for (path, value) in flat.as_object().into_iter().flatten() {
        let (parent, field) = path.split_once('.').unwrap();
        object[parent][field] = value.clone();
    }
    object
}

fn api_version(vector: &Vector) -> &str {
    vector.input["apiVersion"].as_str().unwrap_or_default()
}

fn outcome(vector: &Vector, schema: &Schema) -> Outcome {
    let live = vector.live.as_ref();
    let text = vector.input.as_str().unwrap_or_default();
    let writer = Writer {
        manager: &vector.manager,
        api_version: api_version(vector),
        subresource: &vector.sub,
        now: Timestamp::parse(NOW).unwrap(),
        ignored: &[],
    };
    let patched = |result: Result<Value, patch::PatchError>| match result {
        Ok(object) => Outcome::Object(object),
        Err(error) => refused(vector, &error.to_string()),
    };
    match vector.op.as_str() {
        "apply" => match apply(live, &vector.input, vector.force, &writer, schema) {
            Ok(object) => Outcome::Object(object),
            Err(ApplyError::Conflict(conflict)) => Outcome::Conflict(conflict.message()),
            Err(ApplyError::Invalid(_)) => Outcome::Refused(None),
        },
        "update" => Outcome::Object(track_update(live, vector.input.clone(), &writer, schema)),
        "strategic" => {
            let id = schema.type_named(&vector.type_name).unwrap();
            patched(patch::strategic(live.unwrap(), &vector.input, schema, id))
        }
        "json" => patched(patch::json(live.unwrap(), &vector.input)),
        "labels" => match LabelSelector::parse(text) {
            Ok(selector) => Outcome::Object(json!(selector.matches(&json!({"metadata": {"labels": live}})))),
            Err(error) => refused(vector, &error.to_string()),
        },
        "fields" => match FieldSelector::parse(text) {
            // The set of fields that is selected from is flat here and an object there.
            Ok(selector) => Outcome::Object(json!(selector.matches(&nested(live.unwrap())))),
            Err(error) => refused(vector, &error.to_string()),
        },
        "merge" => Outcome::Object(patch::merge(live.unwrap(), &vector.input)),
        other => panic!("no such operation: {other}"),
    }
}

fn expected(vector: &Vector) -> Outcome {
    if !vector.conflict.is_empty() {
        return Outcome::Conflict(vector.conflict.clone());
    }
    if !vector.error.is_empty() {
        return refused(vector, &vector.error);
    }
    let text = vector.want.to_string().replace("\"NOW\"", &format!("\"{NOW}\""));
    Outcome::Object(serde_json::from_str(&text).unwrap())
}

/// A server drops nulls from typed fields of every object, and of built-in ones all that Go's types omit when empty.
/// The genuine field manager was driven without those parts of a server, and with Go types that add empty fields.
fn normalized(outcome: Outcome, schema: &Schema, id: Option<TypeId>, is_builtin: bool) -> Outcome {
    match (outcome, id) {
        (Outcome::Object(mut object), Some(id)) => {
            schema.drop_nulls(&mut object, id);
            if is_builtin {
                omit_empty(&mut object, &Type::from(id), schema);
            }
            Outcome::Object(object)
        }
        (other, _) => other,
    }
}

fn omit_empty(value: &mut Value, ty: &Type, schema: &Schema) {
    match (schema.resolve(ty), value) {
        (Resolved::Object { object, .. }, Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                if let Some(ty) = object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref()) {
                    omit_empty(value, ty, schema);
                }
            }
            map.retain(|name, value| !object.fields.contains_key(name) || !is_empty(value));
        }
        (Resolved::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| omit_empty(item, &list.items, schema));
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        // "0" is what Go prints for a quantity that was never set.
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn difference(actual: &Outcome, expected: &Outcome) -> String {
    match (actual, expected) {
        (Outcome::Object(actual), Outcome::Object(expected)) => first_difference("", actual, expected),
        _ => format!("want {expected:?}, got {actual:?}"),
    }
}

fn first_difference(at: &str, actual: &Value, expected: &Value) -> String {
    match (actual, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let missing = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name));
            let name = missing.expect("two objects that differ have a field that differs");
            let null = Value::Null;
            first_difference(&format!("{at}/{name}"), a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let index = (0..a.len()).find(|index| a[*index] != b[*index]).unwrap_or_default();
            first_difference(&format!("{at}/{index}"), &a[index], &b[index])
        }
        _ => format!("at {at} want {expected}, got {actual}"),
    }
}

#[track_caller]
fn check(name: &str, schema: impl Fn(&Header) -> Schema) {
    let (header, vectors) = read(name);
    let schema = schema(&header);
    let mut wrong = Vec::new();
    for (index, vector) in vectors.iter().enumerate() {
        let owns = matches!(vector.op.as_str(), "apply" | "update");
        let id = schema.type_named(&vector.type_name).filter(|_| owns);
        let normal = |outcome| normalized(outcome, &schema, id, name.contains("builtin"));
        let (actual, expected) = (normal(outcome(vector, &schema)), normal(expected(vector)));
        if actual != expected {
            wrong.push((index + 2, vector, actual, expected));
        }
    }
    let shown: Vec<String> = wrong
        .iter()
        .take(5)
        .map(|(line, vector, actual, expected)| {
            format!("{name}:{line}: {} by {:?}: {}", vector.op, vector.manager, difference(actual, expected))
        })
        .collect();
    let count = vectors.len();
    assert!(wrong.is_empty(), "{} of {count} differ from upstream:\n{}", wrong.len(), shown.join("\n"));
}

#[test]
fn ownership_of_custom_resources_is_upstreams() {
    check("merge-custom.jsonl.gz", |header| {
        Schema::from_crd("conformance.example.com", "v1", "Widget", &header.widget).unwrap()
    });
}

#[test]
fn ownership_of_built_in_types_is_upstreams() {
    check("merge-builtin.jsonl.gz", |_| Schema::builtin().clone());
}

#[test]
fn patches_are_upstreams() {
    check("merge-patches.jsonl.gz", |_| Schema::builtin().clone());
}

#[test]
fn selectors_are_upstreams() {
    check("merge-selectors.jsonl.gz", |_| Schema::builtin().clone());
}
