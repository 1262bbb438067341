//! Replacing an object, or the part of it that a subresource owns.

use std::sync::Arc;

use serde_json::{Value, json};

use kube_store::store::{ObjectKey, Precondition};

use super::{Api, Caller, Part, Transaction, WriteOptions, Written, decode, metadata, patch};
use crate::admission;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;
use crate::registry::ResourceDef;

impl Api {
    /// # Errors
    /// As for a create; 409 Conflict when the body carries a resourceVersion or uid that is not the stored one.
    #[allow(clippy::too_many_arguments, reason = "these are the parts of one request")]
    pub async fn update(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        name: &str,
        part: Part,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        if part == Part::Scale {
            return self.update_scale(caller, def, namespace, name, body, options).await;
        }
        let (object, warnings) = decode::decode(def, body, options.field_validation)?;
        if json::name(&object) != name {
            let given = json::name(&object);
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        let (object, done) = {
            let mut tx = self.begin(caller, options);
            let old = current(&tx, def, namespace, name)?;
            let object = replace(&mut tx, def, &old, object, part, part.ownership())?;
            (object, tx.finish())
        };
        self.settle(done).await?;
        Ok(Written { object, created: false, warnings })
    }
}

/// The stored object in the stored version.
pub fn current(
    tx: &Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    name: &str,
) -> Result<Arc<Value>, ApiError> {
    let namespace = namespace.filter(|_| def.namespaced);
    tx.get(&def.resource, namespace, name).ok_or_else(|| ApiError::not_found(&def.qualified_plural(), name))
}

fn check_preconditions(def: &ResourceDef, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (name, expected) = (json::name(old), json::resource_version(new));
    if !json::uid(new).is_empty() && json::uid(new) != json::uid(old) {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            json::uid(new),
            json::uid(old)
        );
        return Err(ApiError::conflict(&def.qualified_plural(), name, &why));
    }
    if !expected.is_empty() && expected != json::resource_version(old) {
        return Err(ApiError::modified(&def.qualified_plural(), name));
    }
    Ok(())
}

/// Everything between decoding and storing a changed object. `new` is in the version of `def`.
pub fn replace(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    old: &Arc<Value>,
    new: Value,
    part: Part,
    ownership: patch::Ownership,
) -> Result<Arc<Value>, ApiError> {
    let stored = tx.registry().stored_by_name(&def.resource);
    let target = stored.as_deref().unwrap_or(def);
    let mut new = match &def.view {
        Some(view) => (view.to_stored)(new),
        None => new,
    };
    check_preconditions(def, old, &new)?;
    if def.namespaced && json::namespace(&new).is_some_and(|n| Some(n) != json::namespace(old)) {
        return Err(ApiError::bad_request("the namespace of the object does not match the namespace on the request"));
    }
    new["apiVersion"] = json!(target.api_version());
    new["kind"] = json!(target.kind);
    metadata::keep_identity(old, &mut new);
    keep_other_parts(target, old, &mut new, part);
    let strategy = target.strategy();
    strategy.default(&mut new);
    if part == Part::Main || part == Part::Scale {
        strategy.prepare_update(tx, &mut new, old)?;
    }
    if strategy.has_generation() && metadata::spec_changed(old, &new) {
        let generation = json::integer(old, "/metadata/generation").unwrap_or(0) + 1;
        new["metadata"]["generation"] = json!(generation);
    }
    let mut errors = FieldErrors::default();
    metadata::validate(target, &new, &mut errors);
    if part == Part::Main || part == Part::Scale {
        strategy.validate(&new, &mut errors);
        strategy.validate_update(&new, old, &mut errors);
    }
    metadata::refuse(target, &new, errors)?;
    if part == Part::Main || part == Part::Scale {
        admission::validate_changed(tx, target, old, &new)?;
    }
    patch::own(tx, target, Some(old), &mut new, ownership);
    let key = ObjectKey::new(&target.resource, json::namespace(old), json::name(old));
    let object = if is_finished(&new) {
        tx.delete(&key)?
    } else if unchanged(old, &new) {
        old.clone()
    } else {
        tx.put(key, new, Precondition::None)?
    };
    Ok(match &def.view {
        Some(view) => Arc::new((view.from_stored)(&object)),
        None => object,
    })
}

/// The main resource does not write status, and status nothing else.
fn keep_other_parts(def: &ResourceDef, old: &Value, new: &mut Value, part: Part) {
    match part {
        Part::Main | Part::Scale if def.status => json::assign(new, "status", old.get("status").cloned()),
        Part::Main | Part::Scale => {}
        Part::Status => {
            let status = new.get("status").cloned();
            let fields = new["metadata"].get("managedFields").cloned();
            let stated = new["metadata"].clone();
            *new = old.clone();
            json::assign(new, "status", status);
            json::assign(&mut new["metadata"], "managedFields", fields);
            def.strategy().keep_status_metadata(&stated, new);
        }
        Part::Finalize => {
            let finalizers = new.pointer("/spec/finalizers").cloned();
            let fields = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            json::assign(json::object(new, "spec"), "finalizers", finalizers);
            json::assign(&mut new["metadata"], "managedFields", fields);
        }
    }
}

/// Terminating, and nobody holds it back any more.
fn is_finished(object: &Value) -> bool {
    json::is_terminating(object)
        && json::items(object, "/metadata/finalizers").is_empty()
        && json::items(object, "/spec/finalizers").is_empty()
        && json::integer(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
}

/// Equal but for the times in managed fields: writing it would only wake watchers.
fn unchanged(old: &Value, new: &Value) -> bool {
    if old == new {
        return true;
    }
    if old.get("spec") != new.get("spec") || old.get("status") != new.get("status") {
        return false;
    }
    let timeless = |v: &Value| {
        let mut v = v.clone();
        for entry in json::items_mut(&mut v, "/metadata/managedFields") {
            json::remove(entry, "time");
        }
        v
    };
    timeless(old) == timeless(new)
}
