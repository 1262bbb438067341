//! Creating an object.

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
    /// As the API answers: 400 for what does not decode, 403 for what admission refuses, 404 without the namespace, 409
    /// when the name is taken, 422 for invalid fields.
    pub async fn create(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let (object, warnings) = decode::decode(def, body, options.field_validation)?;
        let (object, done) = {
            let mut tx = self.begin(caller, options);
            let object = insert(&mut tx, def, namespace, object, Part::Main.ownership())?;
            (object, tx.finish())
        };
        self.settle(done).await?;
        Ok(Written { object, created: true, warnings })
    }
}

/// Everything between decoding and storing a new object.
pub fn insert(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    object: Value,
    ownership: patch::Ownership,
) -> Result<Arc<Value>, ApiError> {
    let stored = tx.registry().stored_by_name(&def.resource);
    let target = stored.as_deref().unwrap_or(def);
    let mut object = match &def.view {
        Some(view) => (view.to_stored)(object),
        None => object,
    };
    check_namespace(tx, target, namespace, &object)?;
    let strategy = target.strategy();
    metadata::stamp_new(tx, target, namespace, &mut object);
    strategy.default(&mut object);
    if target.status {
        strategy.reset_status(&mut object);
    }
    strategy.prepare_create(tx, &mut object)?;
    admission::mutate_new(tx, target, &mut object)?;
    let mut errors = FieldErrors::default();
    metadata::validate(target, &object, &mut errors);
    strategy.validate(&object, &mut errors);
    metadata::refuse(target, &object, errors)?;
    let key = ObjectKey::new(&target.resource, namespace, json::name(&object));
    if tx.get(&key.resource, namespace, &key.name).is_some() {
        return Err(ApiError::already_exists(&def.qualified_plural(), &key.name));
    }
    admission::validate_new(tx, target, &object)?;
    patch::own(tx, target, None, &mut object, ownership);
    let stored = tx.put(key, object, Precondition::Absent)?;
    Ok(match &def.view {
        Some(view) => Arc::new((view.from_stored)(&stored)),
        None => stored,
    })
}

fn check_namespace(
    tx: &Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    object: &Value,
) -> Result<(), ApiError> {
    let stated = json::namespace(object);
    let Some(namespace) = namespace.filter(|_| def.namespaced) else {
        return match def.namespaced {
            true => Err(ApiError::bad_request("an empty namespace may not be set during creation")),
            false => Ok(()),
        };
    };
    if stated.is_some_and(|stated| stated != namespace) {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let Some(holder) = tx.get("namespaces", None, namespace) else {
        return Err(ApiError::not_found("namespaces", namespace));
    };
    if json::text(&holder, "/status/phase") == Some("Terminating") || json::is_terminating(&holder) {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
        let error = ApiError::forbidden(&def.qualified_plural(), json::name(object), &why);
        let details = json!({"name": json::name(object), "kind": def.plural, "causes": cause});
        return Err(error.with_details(details));
    }
    Ok(())
}
