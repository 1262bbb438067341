//! From objects to a table.

use std::sync::Arc;

use serde_json::{Value, json};
use units::Timestamp;

use super::{Column, age};
use crate::json;
use crate::registry::{Origin, ResourceDef};

/// How much of each object a row carries: `includeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl IncludeObject {
    pub fn parse(text: Option<&str>) -> IncludeObject {
        match text {
            Some("None") => IncludeObject::None,
            Some("Object") => IncludeObject::Object,
            _ => IncludeObject::Metadata,
        }
    }
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace.";

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

fn definitions(def: &ResourceDef) -> Value {
    let mut all = Vec::new();
    match &def.origin {
        Origin::BuiltIn { columns, .. } => {
            all.extend(columns.iter().map(|c| {
                definition(c.name, c.kind, c.format, if c.format == "name" { NAME_DESCRIPTION } else { "" }, c.priority)
            }));
        }
        Origin::Custom(custom) => {
            all.push(definition("Name", "string", "name", NAME_DESCRIPTION, 0));
            all.extend(custom.columns.iter().map(|c| definition(&c.name, &c.kind, "", &c.description, c.priority)));
            if custom.columns.is_empty() {
                all.push(definition("Age", "date", "", "", 0));
            }
        }
    }
    Value::Array(all)
}

fn cells(def: &ResourceDef, object: &Value, now: Timestamp) -> Vec<Value> {
    match &def.origin {
        Origin::BuiltIn { columns, .. } => columns.iter().map(|column: &Column| (column.cell)(object, now)).collect(),
        Origin::Custom(custom) => {
            let mut cells = vec![object["metadata"]["name"].clone()];
            for column in &custom.columns {
                let value = by_path(object, &column.path).cloned().unwrap_or(Value::Null);
                cells.push(if column.kind == "date" { json!(age(value.as_str(), now)) } else { printable(value) });
            }
            if custom.columns.is_empty() {
                cells.push(json!(age(json::text(object, "/metadata/creationTimestamp"), now)));
            }
            cells
        }
    }
}

fn printable(value: Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => json!(value.to_string()),
        other => other,
    }
}

/// The simple JSONPaths that printer columns use: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.
fn by_path<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    let mut at = object;
    let mut rest = path.trim_start_matches('$').trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, tail) = inner.split_once(']')?;
            at = match step.strip_prefix("?(@.").and_then(|filter| filter.strip_suffix(')')) {
                Some(filter) => {
                    let (field, wanted) = filter.split_once("==")?;
                    let wanted = wanted.trim().trim_matches(['"', '\'']);
                    at.as_array()?.iter().find(|item| item[field.trim()].as_str() == Some(wanted))?
                }
                None => match step.parse::<usize>() {
                    Ok(index) => at.get(index)?,
                    Err(_) => at.get(step.trim_matches(['"', '\'']))?,
                },
            };
            rest = tail.trim_start_matches('.');
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            at = at.get(&rest[..end])?;
            rest = rest[end..].trim_start_matches('.');
        }
    }
    Some(at)
}

/// The `metadata.k8s.io` view of an object.
pub fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

pub fn table(
    def: &ResourceDef,
    objects: &[Arc<Value>],
    include: IncludeObject,
    metadata: Value,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let shown = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => partial(object),
                IncludeObject::Object => Value::clone(object),
            };
            json!({"cells": cells(def, object, now), "object": shown})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions(def), "rows": rows})
}
