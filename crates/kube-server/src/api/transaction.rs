//! One write: a consistent view for admission, and the changes that become durable together.

use std::sync::Arc;

use parking_lot::MutexGuard;
use serde_json::Value;
use units::Timestamp;

use kube_store::selector::Selector;
use kube_store::store::{Change, ObjectKey, Precondition, Store, StoreError};

use super::journal::Done;
use super::{Api, Caller, WriteOptions};
use crate::error::ApiError;
use crate::registry::Registry;
use crate::settings::Settings;

pub struct Transaction<'a> {
    api: &'a Api,
    store: MutexGuard<'a, Store>,
    changes: Vec<Change>,
    pub caller: &'a Caller,
    pub options: &'a WriteOptions,
    pub now: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        api: &'a Api,
        store: MutexGuard<'a, Store>,
        caller: &'a Caller,
        options: &'a WriteOptions,
    ) -> Transaction<'a> {
        Transaction { api, store, changes: Vec::new(), caller, options, now: crate::clock::now() }
    }

    pub fn settings(&self) -> &'a Settings {
        self.api.settings()
    }

    pub fn registry(&self) -> &'a Registry {
        self.api.registry()
    }

    pub fn api(&self) -> &'a Api {
        self.api
    }

    pub fn get(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        self.store.get(&ObjectKey::new(resource, namespace, name))
    }

    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.store
            .list(resource, namespace, &Selector::default(), None, None)
            .map_or_else(|_| Vec::new(), |page| page.items)
    }

    /// Stores the object; in a dry run only answers what would be stored.
    pub fn put(&mut self, key: ObjectKey, object: Value, precondition: Precondition) -> Result<Arc<Value>, ApiError> {
        if self.options.dry_run {
            return Ok(Arc::new(object));
        }
        let change = self.store.put(key, object, precondition).map_err(store_error)?;
        let object = change.object.clone();
        self.changes.push(change);
        Ok(object)
    }

    pub fn delete(&mut self, key: &ObjectKey) -> Result<Arc<Value>, ApiError> {
        if self.options.dry_run {
            return self.store.get(key).ok_or_else(|| ApiError::not_found(&key.resource, &key.name));
        }
        let change = self.store.delete(key, Precondition::None).map_err(store_error)?;
        let object = change.object.clone();
        self.changes.push(change);
        Ok(object)
    }

    /// Queues the changes and lets other writers in; `None` when there is nothing to wait for.
    pub fn finish(self) -> Option<Done> {
        if self.changes.is_empty() {
            return None;
        }
        Some(self.api.journal.send(self.changes))
    }
}

impl Api {
    /// Waits until what a finished transaction changed is durable and readable.
    pub(super) async fn settle(&self, done: Option<Done>) -> Result<(), ApiError> {
        match done {
            Some(done) => super::journal::wait(done).await,
            None => Ok(()),
        }
    }
}

pub fn store_error(error: StoreError) -> ApiError {
    match &error {
        StoreError::AlreadyExists(key) => ApiError::already_exists(&key.resource, &key.name),
        StoreError::NotFound(key) => ApiError::not_found(&key.resource, &key.name),
        StoreError::Conflict { key, reason } => ApiError::conflict(&key.resource, &key.name, reason),
        StoreError::Expired { .. } => ApiError::expired(error.to_string()),
        StoreError::BadContinue(_) => ApiError::bad_request(error.to_string()),
    }
}
