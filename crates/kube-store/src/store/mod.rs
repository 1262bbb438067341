//! Every object of one API server, with one revision counter and a bounded log of changes per resource.
//!
//! Revisions grow by one with each change. Object values are shared (`Arc`), so handing them to watchers, caches and
//! pages costs a reference count. Writes take `&mut self`: the caller decides how to serialise and when a change is
//! durable.

mod log;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::path;
use crate::selector::Selector;
use log::Log;
pub use page::Page;

/// Changes kept per resource, for watchers that reconnect and for pages of one list.
pub const DEFAULT_LOG_CAPACITY: usize = 4096;

/// Where an object lives. Cluster-scoped objects have no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Plural and group: `pods`, `deployments.apps`.
    pub resource: Arc<str>,
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
}

impl ObjectKey {
    pub fn new(resource: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
        ObjectKey { resource: resource.into(), namespace: namespace.map(Into::into), name: name.into() }
    }

    fn slot(&self) -> Slot {
        (self.namespace.clone(), self.name.clone())
    }
}

impl fmt::Display for ObjectKey {
    /// `deployments.apps "web"`, as the API's messages name an object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.resource, self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change of one object: what is persisted and what watchers receive.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub revision: u64,
    pub kind: ChangeKind,
    pub key: ObjectKey,
    /// With `metadata.resourceVersion` equal to `revision`; for a deletion the last state of the object.
    pub object: Arc<Value>,
    /// What the change replaced. A watcher with a selector needs it to tell "no longer matches" from "never did".
    pub previous: Option<Arc<Value>>,
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Create or replace, whatever is there.
    #[default]
    None,
    /// Nothing may be there: a create.
    Absent,
    /// The object must exist with this `metadata.resourceVersion`.
    ResourceVersion(String),
    /// The object must exist with this `metadata.uid`.
    Uid(String),
    /// Both of the above.
    Identity { uid: String, resource_version: String },
}

/// Why the store refused. The texts are those of the genuine API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{0} already exists")]
    AlreadyExists(ObjectKey),
    #[error("{0} not found")]
    NotFound(ObjectKey),
    #[error("Operation cannot be fulfilled on {key}: {reason}")]
    Conflict { key: ObjectKey, reason: String },
    /// The revision is older than the log, or newer than this store has ever been (it was restored from an earlier
    /// state). Either way only a new list helps: HTTP 410.
    #[error("too old resource version: {requested} ({oldest})")]
    Expired { requested: u64, oldest: u64 },
    #[error("continue key is not valid: {0}")]
    BadContinue(String),
}

type Slot = (Option<Arc<str>>, Arc<str>);
type Objects = BTreeMap<Slot, Arc<Value>>;

/// The objects of one API server.
#[derive(Clone, Debug)]
pub struct Store {
    revision: u64,
    /// The first revision of this run: nothing before it is known.
    start: u64,
    log_capacity: usize,
    resources: BTreeMap<Arc<str>, Table>,
}

#[derive(Clone, Debug)]
struct Table {
    name: Arc<str>,
    objects: Objects,
    log: Log,
}

impl Store {
    /// An empty store whose first change gets revision `epoch + 1`.
    pub fn new(epoch: u64) -> Store {
        Store { revision: epoch, start: epoch, log_capacity: DEFAULT_LOG_CAPACITY, resources: BTreeMap::new() }
    }

    /// A store with these objects at `revision`, which must not be lower than any revision handed out before. A caller
    /// that restores an older state passes a higher revision (a new epoch), so that watchers of the lost future get
    /// [`StoreError::Expired`] and list again. Objects keep the `resourceVersion` they carry.
    pub fn restore(objects: impl IntoIterator<Item = (ObjectKey, Arc<Value>)>, revision: u64) -> Store {
        let mut store = Store::new(revision);
        for (key, object) in objects {
            store.table(&key.resource).objects.insert(key.slot(), object);
        }
        store
    }

    /// Keeps at most this many changes per resource (at least one).
    pub fn with_log_capacity(mut self, changes: usize) -> Store {
        self.log_capacity = changes.max(1);
        for table in self.resources.values_mut() {
            table.log.set_capacity(self.log_capacity);
        }
        self
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.resources.get(&key.resource)?.objects.get(&key.slot()).cloned()
    }

    /// Every object with its key, ordered by resource, namespace and name: what a snapshot persists.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectKey, &Arc<Value>)> {
        self.resources.values().flat_map(|table| {
            table.objects.iter().map(|((namespace, name), object)| {
                let key = ObjectKey { resource: table.name.clone(), namespace: namespace.clone(), name: name.clone() };
                (key, object)
            })
        })
    }

    /// How many objects of a resource there are, in one namespace or in all.
    pub fn count(&self, resource: &str, namespace: Option<&str>) -> usize {
        self.resources.get(resource).map_or(0, |table| page::in_namespace(&table.objects, namespace).count())
    }

    /// One page of a resource, ordered by namespace and name, as of one revision: later pages show the state at the
    /// first one, whatever changed in between.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when the log no longer reaches back to the first page; [`StoreError::BadContinue`] for
    /// a token that this store did not make.
    pub fn list(
        &self,
        resource: &str,
        namespace: Option<&str>,
        selector: &Selector,
        limit: Option<usize>,
        continue_token: Option<&str>,
    ) -> Result<Page, StoreError> {
        let start = match continue_token {
            None => page::Start { revision: self.revision, after: None },
            Some(token) => page::Start::parse(token)?,
        };
        self.page(resource, namespace, selector, limit, start)
    }

    /// As [`Store::list`], at an exact revision in the past.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when the log does not reach back that far.
    pub fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        selector: &Selector,
        limit: Option<usize>,
        revision: u64,
    ) -> Result<Page, StoreError> {
        self.page(resource, namespace, selector, limit, page::Start { revision, after: None })
    }

    fn page(
        &self,
        resource: &str,
        namespace: Option<&str>,
        selector: &Selector,
        limit: Option<usize>,
        start: page::Start,
    ) -> Result<Page, StoreError> {
        let undone = page::undo(self.changes(resource, start.revision)?);
        let empty = Objects::new();
        let objects = self.resources.get(resource).map_or(&empty, |table| &table.objects);
        Ok(page::collect(objects, &undone, namespace, selector, limit, start))
    }

    /// Stores `object` under `key` and stamps its `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::NotFound`] or [`StoreError::Conflict`] when `precondition` does
    /// not hold; the store is then unchanged.
    pub fn put(&mut self, key: ObjectKey, object: Value, precondition: Precondition) -> Result<Change, StoreError> {
        let previous = self.get(&key);
        check(&key, previous.as_deref(), &precondition)?;
        let revision = self.revision + 1;
        let object = Arc::new(stamped(object, revision));
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.table(&key.resource).objects.insert(key.slot(), object.clone());
        Ok(self.record(Change { revision, kind, key, object, previous }))
    }

    /// Removes the object. The change carries its last state with the revision of the deletion.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] when `precondition` does not hold.
    pub fn delete(&mut self, key: &ObjectKey, precondition: Precondition) -> Result<Change, StoreError> {
        let previous = self.get(key).ok_or_else(|| StoreError::NotFound(key.clone()))?;
        check(key, Some(&previous), &precondition)?;
        let revision = self.revision + 1;
        self.table(&key.resource).objects.remove(&key.slot());
        let object = Arc::new(stamped(Value::clone(&previous), revision));
        Ok(self.record(Change {
            revision,
            kind: ChangeKind::Deleted,
            key: key.clone(),
            object,
            previous: Some(previous),
        }))
    }

    /// The changes after `revision`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when the log does not reach back to `revision`, or `revision` is in the future.
    pub fn changes_since(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Change>, StoreError> {
        let wanted = |change: &&Change| namespace.is_none() || change.key.namespace.as_deref() == namespace;
        Ok(self.changes(resource, revision)?.filter(wanted).cloned().collect())
    }

    fn changes(
        &self,
        resource: &str,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Change> + use<'_>, StoreError> {
        let table = self.resources.get(resource);
        let oldest = table.map_or(self.start, |table| table.log.floor());
        if revision < oldest || revision > self.revision {
            return Err(StoreError::Expired { requested: revision, oldest });
        }
        Ok(table.into_iter().flat_map(move |table| table.log.since(revision)))
    }

    fn record(&mut self, change: Change) -> Change {
        self.revision = change.revision;
        self.table(&change.key.resource).log.push(change.clone());
        change
    }

    fn table(&mut self, resource: &Arc<str>) -> &mut Table {
        let (start, capacity) = (self.start, self.log_capacity);
        self.resources.entry(resource.clone()).or_insert_with(|| Table {
            name: resource.clone(),
            objects: Objects::new(),
            log: Log::new(start, capacity),
        })
    }
}

fn check(key: &ObjectKey, live: Option<&Value>, precondition: &Precondition) -> Result<(), StoreError> {
    let Some(live) = live else {
        return match precondition {
            Precondition::None | Precondition::Absent => Ok(()),
            _ => Err(StoreError::NotFound(key.clone())),
        };
    };
    match precondition {
        Precondition::None => Ok(()),
        Precondition::Absent => Err(StoreError::AlreadyExists(key.clone())),
        Precondition::ResourceVersion(version) => check_version(key, live, version),
        Precondition::Uid(uid) => check_uid(key, live, uid),
        Precondition::Identity { uid, resource_version } => {
            check_uid(key, live, uid)?;
            check_version(key, live, resource_version)
        }
    }
}

fn check_version(key: &ObjectKey, live: &Value, expected: &str) -> Result<(), StoreError> {
    if path::text(live, &["metadata", "resourceVersion"]) == Some(expected) {
        return Ok(());
    }
    let reason =
        "the object has been modified; please apply your changes to the latest version and try again".to_owned();
    Err(StoreError::Conflict { key: key.clone(), reason })
}

fn check_uid(key: &ObjectKey, live: &Value, expected: &str) -> Result<(), StoreError> {
    let actual = path::text(live, &["metadata", "uid"]).unwrap_or_default();
    if actual == expected {
        return Ok(());
    }
    let reason = format!("Precondition failed: UID in precondition: {expected}, UID in object meta: {actual}");
    Err(StoreError::Conflict { key: key.clone(), reason })
}

fn stamped(mut object: Value, revision: u64) -> Value {
    if !object.is_object() {
        object = Value::Object(Map::new());
    }
    let Value::Object(map) = &mut object else { unreachable!("made an object above") };
    path::object_at(map, "metadata").insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    object
}
