//! The scale subresource of everything that has replicas.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Api, Caller, Part, Transaction, WriteOptions, Written, update};
use crate::client::ScaleView;
use crate::error::ApiError;
use crate::json;
use crate::registry::{ResourceDef, ScalePaths};

fn paths(def: &ResourceDef) -> Result<&ScalePaths, ApiError> {
    def.scale.as_ref().ok_or_else(ApiError::no_such_path)
}

/// `autoscaling/v1` `Scale` of an object.
pub fn scale_object(def: &ResourceDef, object: &Value) -> Result<Value, ApiError> {
    let paths = paths(def)?;
    let metadata = &object["metadata"];
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": metadata["name"]}});
    for field in ["namespace", "uid", "resourceVersion", "creationTimestamp"] {
        json::assign(&mut scale["metadata"], field, metadata.get(field).cloned());
    }
    scale["spec"] = json!({"replicas": json::integer(object, &paths.replicas).unwrap_or(0)});
    scale["status"] = json!({"replicas": json::integer(object, &paths.status_replicas).unwrap_or(0)});
    let selector = selector_text(paths, object);
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    Ok(scale)
}

fn selector_text(paths: &ScalePaths, object: &Value) -> String {
    match paths.selector.as_deref().and_then(|pointer| object.pointer(pointer)) {
        Some(Value::String(text)) => text.clone(),
        Some(selector) => crate::tables::selector_text(selector),
        None => String::new(),
    }
}

fn replicas_of(scale: &Value) -> Result<i64, ApiError> {
    let replicas = match scale.pointer("/spec/replicas") {
        None | Some(Value::Null) => 0,
        Some(value) => {
            value.as_i64().ok_or_else(|| ApiError::bad_request("spec.replicas of a Scale must be a whole number"))?
        }
    };
    Ok(replicas)
}

impl Api {
    /// # Errors
    /// 404 without the object, or when the resource has no scale.
    pub fn scale(&self, def: &ResourceDef, namespace: Option<&str>, name: &str) -> Result<ScaleView, ApiError> {
        let object = self.get(def, namespace, name)?;
        let scale = scale_object(def, &object)?;
        let count = |pointer| i32::try_from(json::integer(&scale, pointer).unwrap_or(0)).unwrap_or(i32::MAX);
        Ok(ScaleView {
            replicas: count("/spec/replicas"),
            status_replicas: count("/status/replicas"),
            selector: json::text(&scale, "/status/selector").unwrap_or_default().to_owned(),
            resource_version: json::resource_version(&object).to_owned(),
        })
    }

    pub(super) async fn update_scale(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        name: &str,
        scale: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let (object, done) = {
            let mut tx = self.begin(caller, options);
            let old = update::current(&tx, def, namespace, name)?;
            let object = set(&mut tx, def, &old, &scale)?;
            (object, tx.finish())
        };
        self.settle(done).await?;
        Ok(Written { object: Arc::new(scale_object(def, &object)?), created: false, warnings: Vec::new() })
    }
}

/// Takes over what a `Scale` says: the replicas, and the version it was computed from.
pub fn set(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    old: &Arc<Value>,
    scale: &Value,
) -> Result<Arc<Value>, ApiError> {
    let paths = paths(def)?;
    let replicas = replicas_of(scale)?;
    if replicas < 0 {
        let mut errors = crate::field::FieldErrors::default();
        errors.invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
        return Err(ApiError::invalid("Scale.autoscaling", json::name(old), &errors));
    }
    let mut new = Value::clone(old);
    set_pointer(&mut new, &paths.replicas, json!(replicas));
    json::assign(&mut new["metadata"], "resourceVersion", scale.pointer("/metadata/resourceVersion").cloned());
    update::replace(tx, def, old, new, Part::Scale, Part::Scale.ownership())
}

fn set_pointer(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    let mut fields = pointer.split('/').skip(1).peekable();
    while let Some(field) = fields.next() {
        if fields.peek().is_none() {
            json::assign(at, field, Some(value));
            return;
        }
        at = json::object(at, field);
    }
}
