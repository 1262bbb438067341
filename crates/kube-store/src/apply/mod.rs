//! Field ownership and server-side apply, with the semantics of structured-merge-diff v6.3.3 and apimachinery's
//! `managedfields` v0.36.3.
//!
//! Everything is pure: a dry run is a call whose result is not stored. Entries of other API versions are compared by
//! path without conversion, since only one version of a type is stored here.

mod combine;
mod element;
mod last_applied;
mod managers;
mod set;
#[cfg(test)]
mod tests;
mod typed;

use serde_json::{Map, Value};
use units::Timestamp;

use crate::path;
use crate::schema::{Schema, Type, TypeId};
pub use element::PathElement;
use managers::{Entry, ManagerId, Managers};
pub use set::{FieldSet, path_text};
use typed::{Comparison, Typed};

/// The manager of fields that were there before anyone was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Nobody owns these: they are the object's identity, or the server's.
const UNOWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager. Empty is recorded as `unknown`.
    pub manager: &'a str,
    /// Of the request: `apps/v1`.
    pub api_version: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// Fields that this request cannot change and therefore not own: see [`ignored_fields`].
    pub ignored: &'a [&'a [&'a str]],
}

/// What a write to an object with a status subresource, or to that subresource, leaves alone.
pub fn ignored_fields(subresource: &str, has_status_subresource: bool) -> &'static [&'static [&'static str]] {
    match subresource {
        "" if has_status_subresource => &[&["status"]],
        "status" => &[&["spec"]],
        _ => &[],
    }
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// HTTP 400 or 500: the configuration is no object of the type.
    #[error("{0}")]
    Invalid(String),
    /// HTTP 409: others own fields that the configuration changes.
    #[error("{}", .0.message())]
    Conflict(ApplyConflict),
}

/// Fields that others own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyConflict {
    /// Sorted by manager.
    pub conflicts: Vec<Conflict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// `"kubectl-edit" using apps/v1`
    pub manager: String,
    /// `.spec.replicas`
    pub path: String,
    steps: Vec<PathElement>,
}

impl ApplyConflict {
    /// In upstream's words.
    pub fn message(&self) -> String {
        if let [only] = self.conflicts.as_slice() {
            return format!("Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.path);
        }
        let mut lines: Vec<String> = Vec::new();
        let mut manager = None;
        for conflict in &self.conflicts {
            if manager != Some(&conflict.manager) {
                manager = Some(&conflict.manager);
                lines.push(format!("conflicts with {}:", conflict.manager));
            }
            lines.push(format!("- {}", conflict.path));
        }
        format!("Apply failed with {} conflicts: {}", self.conflicts.len(), lines.join("\n"))
    }
}

/// The object that applying `config` to `live` makes. Where nothing changes the result equals `live`.
///
/// The type is looked up by `config`'s `apiVersion` and `kind`; an unknown one merges as free-form data.
///
/// # Errors
/// [`ApplyError::Conflict`] without `force` when another manager owns a field that would change;
/// [`ApplyError::Invalid`] when `config` does not fit its type or has `metadata.managedFields`.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    force: bool,
    writer: &Writer<'_>,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    let ty = schema.type_of(config).map_or(Type::Any, Type::from);
    let request = Request { typed: Typed { schema }, ty: &ty, writer, ignored: FieldSet::of_fields(writer.ignored) };
    let applied = match request.apply(live, config, force) {
        Err(ApplyError::Conflict(conflict)) if writer.manager == last_applied::MANAGER => {
            // Whoever moves from client-side to server-side apply owns what the annotation says.
            match request.not_last_applied(live, conflict) {
                Some(rest) => Err(ApplyError::Conflict(rest)),
                None => request.apply(live, config, true),
            }
        }
        other => other,
    };
    let mut applied = applied?;
    if writer.manager == last_applied::MANAGER {
        last_applied::refresh(&mut applied, config);
    }
    Ok(applied)
}

/// `new` with the owners of what a write other than apply changed. `old` is absent for a create. The new object may
/// carry changed `managedFields` itself, or an empty list to forget all owners.
pub fn track_update(old: Option<&Value>, new: Value, writer: &Writer<'_>, schema: &Schema) -> Value {
    let ty = schema.type_of(&new).map_or(Type::Any, Type::from);
    let request = Request { typed: Typed { schema }, ty: &ty, writer, ignored: FieldSet::of_fields(writer.ignored) };
    request.track(old, new)
}

/// As [`track_update`], for callers that know the type.
pub fn track_update_of(old: Option<&Value>, new: Value, writer: &Writer<'_>, schema: &Schema, id: TypeId) -> Value {
    let ty = Type::from(id);
    let request = Request { typed: Typed { schema }, ty: &ty, writer, ignored: FieldSet::of_fields(writer.ignored) };
    request.track(old, new)
}

struct Request<'s> {
    typed: Typed<'s>,
    ty: &'s Type,
    writer: &'s Writer<'s>,
    ignored: FieldSet,
}

impl<'s> Request<'s> {
    fn track(&self, old: Option<&Value>, mut new: Value) -> Value {
        if !new.is_object() {
            return new;
        }
        let empty = Value::Object(Map::new());
        let is_create = old.and_then(|old| path::text(old, &["metadata", "uid"])).is_none_or(str::is_empty);
        let old_or_empty = old.unwrap_or(&empty);
        let changes = self.changes(old_or_empty, &new);
        let sent_as_stored = recorded_in(&new) == recorded_in(old_or_empty);
        if changes.is_same() && old.is_some() && sent_as_stored {
            return new;
        }
        let mut managers = self.recorded(old, &new);
        managers::remove(&mut new);
        if !managers.is_empty() || is_create {
            self.reconcile(&mut managers);
            self.record_update(&changes, &mut managers, self.id(false));
            managers::cap(&mut managers);
        }
        managers::encode(&mut new, &managers);
        new
    }

    /// What changed, of what anyone can own.
    fn changes(&self, old: &Value, new: &Value) -> Comparison {
        let mut ignored = FieldSet::of_fields(&[&["metadata", "managedFields"]]);
        ignored = ignored.union(&self.ignored);
        self.typed.compare(old, new, self.ty).without(&ignored)
    }

    /// The owners to start from: the request's own list if it is a proper one, else the live object's. An empty list, or
    /// a list of one empty entry, asks to forget them.
    fn recorded(&self, old: Option<&Value>, new: &Value) -> Managers {
        let live = || old.map_or_else(Managers::new, |old| managers::decode(old).unwrap_or_default());
        match recorded_in(new).map(Vec::as_slice) {
            _ if !self.writer.subresource.is_empty() => live(),
            None => live(),
            Some([]) => Managers::new(),
            Some([only]) if only.as_object().is_some_and(Map::is_empty) => Managers::new(),
            Some(_) => managers::decode(new).ok().filter(|sent| !sent.is_empty()).unwrap_or_else(live),
        }
    }

    fn id(&self, is_apply: bool) -> ManagerId {
        let name = if self.writer.manager.is_empty() { "unknown" } else { self.writer.manager };
        ManagerId {
            name: name.to_owned(),
            is_apply,
            api_version: if is_apply { String::new() } else { self.writer.api_version.to_owned() },
            subresource: self.writer.subresource.to_owned(),
        }
    }

    fn reconcile(&self, managers: &mut Managers) {
        for entry in managers.values_mut() {
            if let Some(fields) = entry.fields.reconciled(self.typed.schema, self.ty) {
                entry.fields = fields;
            }
        }
    }

    /// Gives `id` what changed, and takes it from everybody else.
    fn record_update(&self, changes: &Comparison, managers: &mut Managers, id: ManagerId) {
        if changes.is_same() {
            return;
        }
        take_over(managers, None, changes);
        let taken = changes.modified.union(&changes.added).difference(&FieldSet::of_fields(&UNOWNED));
        if taken.is_empty() {
            return;
        }
        let api_version = self.writer.api_version.to_owned();
        let fields = managers.get(&id).map(|entry| entry.fields.union(&taken)).unwrap_or(taken);
        managers.insert(id, Entry { api_version, fields, time: Some(self.writer.now.rfc3339()) });
    }

    fn apply(&self, live: Option<&Value>, config: &Value, force: bool) -> Result<Value, ApplyError> {
        let config = self.checked(config)?;
        let config = &config;
        let empty = Value::Object(Map::new());
        let stored = live.unwrap_or(&empty);
        let mut managers = managers::decode(stored)
            .map_err(|problem| ApplyError::Invalid(format!("failed to decode managed fields: {problem}")))?;
        let live = without_managers(stored);
        if managers.is_empty() {
            let id = ManagerId {
                name: BEFORE_FIRST_APPLY.to_owned(),
                subresource: self.writer.subresource.to_owned(),
                ..self.id(false)
            };
            self.record_update(&self.changes(&empty, &live), &mut managers, id);
        }
        self.reconcile(&mut managers);

        let merged = self.typed.merge(&live, config, self.ty);
        let id = self.id(true);
        let last = managers.remove(&id);
        let fields = self.typed.fields(config, self.ty).recursive_difference(&self.ignored);
        let time = last.as_ref().and_then(|last| last.time.clone());
        let entry = Entry { api_version: self.writer.api_version.to_owned(), fields, time };
        managers.insert(id.clone(), entry);
        let mut applied = match &last {
            Some(last) if !last.fields.is_empty() => self.prune(&merged, &managers, &last.fields),
            _ => merged.clone(),
        };

        let changes = self.typed.compare(&live, &applied, self.ty).without(&self.ignored);
        let conflict = conflicts(&managers, &id, &changes);
        if !force && !conflict.conflicts.is_empty() {
            return Err(ApplyError::Conflict(conflict));
        }
        take_over(&mut managers, Some(&id), &changes);
        let is_changed = !element::equal(&live, &applied);
        if let Some(entry) = managers.get_mut(&id) {
            entry.fields = entry.fields.difference(&FieldSet::of_fields(&UNOWNED));
            if is_changed {
                entry.time = Some(self.writer.now.rfc3339());
            }
        }
        managers.retain(|_, entry| !entry.fields.is_empty());
        // Owners of what was emptied keep it, so it goes away only now.
        combine::drop_emptied(&mut applied, &merged);
        managers::encode(&mut applied, &managers);
        Ok(applied)
    }

    /// The configuration, if it fits its type, without what this request cannot change.
    fn checked(&self, config: &Value) -> Result<Value, ApplyError> {
        if path::get(config, &["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
            return Err(ApplyError::Invalid("metadata.managedFields must be nil".to_owned()));
        }
        let problems = self.typed.problems(config, self.ty, true);
        if !problems.is_empty() {
            let text = match problems.as_slice() {
                [only] => only.clone(),
                several => format!("errors:\n  {}", several.join("\n  ")),
            };
            return Err(ApplyError::Invalid(format!(
                "failed to create typed patch object ({}): {text}",
                described(config)
            )));
        }
        Ok(self.typed.without(config, &self.ignored, self.ty))
    }

    /// Removes what the manager applied last time and nobody owns any more.
    fn prune(&self, merged: &Value, managers: &Managers, last: &FieldSet) -> Value {
        let owned = managers.values().fold(FieldSet::default(), |all, entry| all.union(&entry.fields));
        if last.difference(&owned).is_empty() {
            return merged.clone();
        }
        let named = |set: &FieldSet| set.with_named_fields(self.typed.schema, Some(self.ty));
        let fields = |value: &Value| named(&self.typed.fields(value, self.ty));
        let without = |paths: &FieldSet| self.typed.without(merged, paths, self.ty);
        let all = fields(merged);
        // What was applied goes, with all below it; what anyone owns comes back; so does what the manager never owned.
        let pruned = without(&named(last));
        let pruned = without(&all.difference(&fields(&pruned).union(&named(&owned))));
        without(&all.difference(&fields(&pruned)).intersection(&named(last)))
    }
}

/// Takes what changed from every manager but one.
fn take_over(managers: &mut Managers, except: Option<&ManagerId>, changes: &Comparison) {
    let changed = changes.modified.union(&changes.added).union(&changes.removed);
    for (id, entry) in managers.iter_mut() {
        if Some(id) != except {
            entry.fields = entry.fields.difference(&changed);
        }
    }
    managers.retain(|_, entry| !entry.fields.is_empty());
}

fn conflicts(managers: &Managers, applier: &ManagerId, changes: &Comparison) -> ApplyConflict {
    let changed = changes.modified.union(&changes.added);
    let mut others: Vec<(&ManagerId, &Entry)> = managers.iter().filter(|(id, _)| *id != applier).collect();
    others.sort_by_cached_key(|(id, _)| id.sort_key());
    let of = |(id, entry): (&ManagerId, &Entry)| {
        let manager = id.described();
        let paths = entry.fields.intersection(&changed).paths();
        paths.into_iter().map(move |steps| Conflict { manager: manager.clone(), path: path_text(&steps), steps })
    };
    ApplyConflict { conflicts: others.into_iter().flat_map(of).collect() }
}

fn recorded_in(object: &Value) -> Option<&Vec<Value>> {
    path::get(object, &["metadata", "managedFields"])?.as_array()
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    managers::remove(&mut object);
    object
}

/// `default/web; apps/v1, Kind=Deployment`
fn described(object: &Value) -> String {
    let text = |path: &[&str]| path::text(object, path).unwrap_or_default().to_owned();
    format!(
        "{}/{}; {}, Kind={}",
        text(&["metadata", "namespace"]),
        text(&["metadata", "name"]),
        text(&["apiVersion"]),
        text(&["kind"])
    )
}
