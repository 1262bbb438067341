//! Deleting: grace, finalizers, propagation.

use std::sync::Arc;

use serde_json::{Value, json};
use units::{Millis, Timestamp};

use kube_store::selector::Selector;
use kube_store::store::{ObjectKey, Precondition};

use super::{Api, Caller, Transaction, WriteOptions, update};
use crate::client::DeleteOptions;
use crate::error::ApiError;
use crate::json;
use crate::registry::ResourceDef;

/// What became of the object.
#[derive(Debug)]
pub struct Deleted {
    pub object: Arc<Value>,
    /// False while it waits for its grace period or a finalizer.
    pub gone: bool,
}

impl Api {
    /// # Errors
    /// 404 when there is nothing to delete, 409 when a precondition does not hold.
    pub async fn delete(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        name: &str,
        how: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<Deleted, ApiError> {
        let (deleted, done) = {
            let mut tx = self.begin(caller, options);
            let old = update::current(&tx, def, namespace, name)?;
            let deleted = remove(&mut tx, def, &old, how)?;
            (deleted, tx.finish())
        };
        self.settle(done).await?;
        Ok(deleted)
    }

    /// Deletes everything that is selected; what vanishes meanwhile is no error.
    pub async fn delete_collection(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        selector: &Selector,
        how: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<Vec<Arc<Value>>, ApiError> {
        let mut deleted = Vec::new();
        for object in self.cache().list(&def.resource, namespace) {
            if !selector.matches(&object) {
                continue;
            }
            match self.delete(caller, def, json::namespace(&object), json::name(&object), how, options).await {
                Ok(one) => deleted.push(one.object),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

/// Removes the object, or marks it and leaves the rest to who holds it back.
pub fn remove(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    old: &Arc<Value>,
    how: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    check_preconditions(def, old, how)?;
    let key = ObjectKey::new(&def.resource, json::namespace(old), json::name(old));
    crate::admission::validate_delete(tx, def, old)?;
    let mut new = Value::clone(old);
    set_propagation(&mut new, how)?;
    let held =
        !json::items(&new, "/metadata/finalizers").is_empty() || !json::items(&new, "/spec/finalizers").is_empty();
    let grace = def.strategy().grace_seconds(old, how);
    let grace = match json::integer(old, "/metadata/deletionGracePeriodSeconds") {
        Some(running) => grace.min(running),
        None => grace,
    };
    if grace <= 0 && !held {
        return Ok(Deleted { object: tx.delete(&key)?, gone: true });
    }
    mark(&mut new, grace.max(0), tx.now);
    def.strategy().terminate(&mut new);
    if new == **old {
        return Ok(Deleted { object: old.clone(), gone: false });
    }
    Ok(Deleted { object: tx.put(key, new, Precondition::None)?, gone: false })
}

fn check_preconditions(def: &ResourceDef, old: &Value, how: &DeleteOptions) -> Result<(), ApiError> {
    let fail = |what: &str, expected: &str, actual: &str| {
        let why = format!("Precondition failed: {what} in precondition: {expected}, {what} in object meta: {actual}");
        Err(ApiError::conflict(&def.qualified_plural(), json::name(old), &why))
    };
    if let Some(uid) = how.uid.as_deref().filter(|uid| *uid != json::uid(old)) {
        return fail("UID", uid, json::uid(old));
    }
    if let Some(version) = how.resource_version.as_deref().filter(|version| *version != json::resource_version(old)) {
        return fail("ResourceVersion", version, json::resource_version(old));
    }
    Ok(())
}

/// Propagation is carried out by the garbage collector, which looks at these finalizers.
fn set_propagation(object: &mut Value, how: &DeleteOptions) -> Result<(), ApiError> {
    let wanted = match how.propagation.as_deref() {
        None => return Ok(()),
        Some("Background") => None,
        Some("Foreground") => Some("foregroundDeletion"),
        Some("Orphan") => Some("orphan"),
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "invalid propagationPolicy {other:?}: use Background, Foreground or Orphan"
            )));
        }
    };
    let metadata = json::object(object, "metadata");
    let mut finalizers: Vec<Value> = json::items(metadata, "/finalizers").to_vec();
    finalizers.retain(|f| f != "foregroundDeletion" && f != "orphan");
    finalizers.extend(wanted.map(|f| json!(f)));
    json::assign(metadata, "finalizers", (!finalizers.is_empty()).then_some(Value::Array(finalizers)));
    Ok(())
}

/// The moment of deletion only ever moves forward to an earlier time, as upstream's `BeforeDelete` has it.
fn mark(object: &mut Value, grace_seconds: i64, now: Timestamp) {
    let metadata = json::object(object, "metadata");
    let earlier = match json::integer(metadata, "/deletionGracePeriodSeconds") {
        Some(running) => grace_seconds < running,
        None => true,
    };
    if !earlier {
        return;
    }
    let at = now + Millis::from_secs(grace_seconds);
    metadata["deletionTimestamp"] = json!(at.truncated().rfc3339());
    metadata["deletionGracePeriodSeconds"] = json!(grace_seconds);
    if let Some(generation) = json::integer(metadata, "/generation") {
        metadata["generation"] = json!(generation + 1);
    }
}
