//! The four patches, and who owns which field.

use std::sync::Arc;

use serde_json::{Value, json};

use kube_store::apply::{self, ApplyError, Writer};
use kube_store::patch::{self, PatchError};
use kube_store::schema::{Schema, TypeId};

use super::{Api, Caller, Part, Transaction, WriteOptions, Written, create, decode, scale, update};
use crate::client::PatchKind;
use crate::error::ApiError;
use crate::json;
use crate::registry::{Origin, ResourceDef};

/// How a write claims fields.
#[derive(Clone, Copy)]
pub enum Ownership {
    /// Owns what it changed, under the name of this subresource (empty for the object itself).
    Update { subresource: &'static str },
    /// The apply that made the object has recorded its fields already.
    Applied,
}

impl Part {
    fn subresource(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "status",
            Part::Scale => "scale",
            Part::Finalize => "finalize",
        }
    }

    pub fn ownership(self) -> Ownership {
        Ownership::Update { subresource: self.subresource() }
    }
}

fn schema_of(def: &ResourceDef) -> (&Schema, Option<TypeId>) {
    match &def.origin {
        Origin::BuiltIn { .. } => {
            let schema = Schema::builtin();
            (schema, schema.type_for(&def.group, &def.version, &def.kind))
        }
        Origin::Custom(custom) => {
            let (schema, ty) = custom.schema();
            (schema, Some(ty))
        }
    }
}

/// Records who owns what a write changed.
pub fn own(tx: &Transaction<'_>, def: &ResourceDef, old: Option<&Value>, new: &mut Value, ownership: Ownership) {
    let Ownership::Update { subresource } = ownership else { return };
    let api_version = def.api_version();
    let writer = Writer {
        manager: &tx.options.field_manager,
        api_version: &api_version,
        subresource,
        now: tx.now,
        ignored: apply::ignored_fields(subresource, def.status),
    };
    *new = apply::track_update(old, new.take(), &writer, schema_of(def).0);
}

impl Api {
    /// # Errors
    /// 400 for a malformed patch, 404 without the object (an apply creates it), 409 for fields that another manager
    /// applied, 415 for a strategic patch of a custom resource, 422 when the patch does not fit or the result is invalid.
    #[allow(clippy::too_many_arguments, reason = "these are the parts of one request")]
    pub async fn patch(
        &self,
        caller: &Caller,
        def: &ResourceDef,
        namespace: Option<&str>,
        name: &str,
        part: Part,
        kind: PatchKind,
        body: &Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let (written, done) = {
            let mut tx = self.begin(caller, options);
            let written = match kind {
                PatchKind::Apply { force } => apply_object(&mut tx, def, namespace, name, part, body, force)?,
                _ if part == Part::Scale => patch_scale(&mut tx, def, namespace, name, kind, body)?,
                _ => patch_object(&mut tx, def, namespace, name, part, kind, body)?,
            };
            (written, tx.finish())
        };
        self.settle(done).await?;
        Ok(written)
    }
}

fn patch_object(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    name: &str,
    part: Part,
    kind: PatchKind,
    body: &Value,
) -> Result<Written, ApiError> {
    let old = update::current(tx, def, namespace, name)?;
    let mut shown = Value::clone(&tx.api().in_version(def, old.clone()));
    // Only a version that the patch itself states is a precondition.
    json::remove(&mut shown["metadata"], "resourceVersion");
    let patched = merged(def, kind, &shown, body)?;
    let (new, warnings) = decode::decode(def, patched, tx.options.field_validation)?;
    if json::name(&new) != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            json::name(&new)
        )));
    }
    let object = update::replace(tx, def, &old, new, part, part.ownership())?;
    Ok(Written { object, created: false, warnings })
}

fn patch_scale(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    name: &str,
    kind: PatchKind,
    body: &Value,
) -> Result<Written, ApiError> {
    let old = update::current(tx, def, namespace, name)?;
    let mut shown = scale::scale_object(def, &old)?;
    json::remove(&mut shown["metadata"], "resourceVersion");
    let kind = if kind == PatchKind::Strategic { PatchKind::Merge } else { kind };
    let wanted = merged(def, kind, &shown, body)?;
    let object = scale::set(tx, def, &old, &wanted)?;
    Ok(Written { object: Arc::new(scale::scale_object(def, &object)?), created: false, warnings: Vec::new() })
}

fn merged(def: &ResourceDef, kind: PatchKind, live: &Value, body: &Value) -> Result<Value, ApiError> {
    match kind {
        PatchKind::Json => patch::json(live, body).map_err(patch_error),
        PatchKind::Merge if !body.is_object() => Err(ApiError::bad_request("a merge patch must be a JSON object")),
        PatchKind::Merge => Ok(patch::merge(live, body)),
        PatchKind::Strategic if def.is_custom() => Err(ApiError::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
             application/merge-patch+json, application/apply-patch+yaml",
        )),
        PatchKind::Strategic | PatchKind::Apply { .. } => strategic(def, live, body),
    }
}

fn patch_error(error: PatchError) -> ApiError {
    match error {
        PatchError::Invalid(why) => ApiError::bad_request(why),
        PatchError::Unprocessable(why) => {
            // With a kind or a name in them kubectl would print those instead of the message.
            ApiError::new(
                422,
                "Invalid",
                format!("the server rejected our request due to an error in our request: {why}"),
            )
            .with_details(json!({}))
        }
    }
}

fn strategic(def: &ResourceDef, live: &Value, body: &Value) -> Result<Value, ApiError> {
    let (schema, Some(ty)) = schema_of(def) else {
        return Err(ApiError::unsupported_media_type(format!(
            "{} has no strategic merge patch; use a merge patch",
            def.kind
        )));
    };
    patch::strategic(live, body, schema, ty).map_err(patch_error)
}

#[allow(clippy::too_many_arguments, reason = "these are the parts of one request")]
fn apply_object(
    tx: &mut Transaction<'_>,
    def: &ResourceDef,
    namespace: Option<&str>,
    name: &str,
    part: Part,
    body: &Value,
    force: bool,
) -> Result<Written, ApiError> {
    if part == Part::Scale {
        return Err(ApiError::unsupported_media_type(
            "server-side apply of the scale subresource is not served; use a merge patch",
        ));
    }
    let (config, warnings) = decode::decode(def, with_name(body, name)?, tx.options.field_validation)?;
    let old = tx.get(&def.resource, namespace.filter(|_| def.namespaced), name);
    if old.is_none() && part != Part::Main {
        return Err(ApiError::not_found(&def.qualified_plural(), name));
    }
    let live = old.as_ref().map(|old| tx.api().in_version(def, old.clone()));
    let api_version = def.api_version();
    let subresource = part.subresource();
    let writer = Writer {
        manager: &tx.options.field_manager,
        api_version: &api_version,
        subresource,
        now: tx.now,
        ignored: apply::ignored_fields(subresource, def.status),
    };
    let applied = apply::apply(live.as_deref(), &stated(config, body), force, &writer, schema_of(def).0)
        .map_err(|error| apply_error(def, name, error))?;
    let (applied, _) = decode::decode(def, applied, decode::FieldValidation::Ignore)?;
    let (object, created) = match &old {
        Some(old) => (update::replace(tx, def, old, applied, part, Ownership::Applied)?, false),
        None => (create::insert(tx, def, namespace, applied, Ownership::Applied)?, true),
    };
    Ok(Written { object, created, warnings })
}

/// An apply's configuration may leave the name to the path.
fn with_name(body: &Value, name: &str) -> Result<Value, ApiError> {
    if !body.is_object() {
        return Err(ApiError::bad_request("an applied configuration must be an object with apiVersion and kind"));
    }
    let mut config = body.clone();
    let metadata = json::object(&mut config, "metadata");
    json::default(metadata, "name", name);
    if json::name(&config) != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            json::name(&config)
        )));
    }
    Ok(config)
}

/// Decoding writes required fields that the configuration does not have; owning those would be a claim nobody made.
fn stated(decoded: Value, body: &Value) -> Value {
    match (decoded, body) {
        (Value::Object(decoded), Value::Object(body)) => {
            let identity = ["apiVersion", "kind", "metadata", "name"];
            let kept =
                decoded.into_iter().filter(|(key, _)| body.contains_key(key) || identity.contains(&key.as_str()));
            kept.map(|(key, value)| {
                let part = body.get(&key).cloned();
                (
                    key,
                    match part {
                        Some(part) => stated(value, &part),
                        None => value,
                    },
                )
            })
            .collect()
        }
        (Value::Array(decoded), Value::Array(body)) if decoded.len() == body.len() => {
            decoded.into_iter().zip(body).map(|(value, part)| stated(value, part)).collect()
        }
        (decoded, _) => decoded,
    }
}

fn apply_error(def: &ResourceDef, name: &str, error: ApplyError) -> ApiError {
    match error {
        ApplyError::Invalid(why) => {
            ApiError::bad_request(format!("failed to apply {} {name:?}: {why}", def.qualified_kind()))
        }
        ApplyError::Conflict(conflict) => {
            let causes: Vec<Value> = conflict
                .conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", c.manager), "field": c.path}))
                .collect();
            ApiError::new(409, "Conflict", conflict.message()).with_details(json!({"causes": causes}))
        }
    }
}
