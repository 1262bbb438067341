//! Metadata that every controller handles alike: owners, keys, references.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::{Metadata, Resource};
use kube_server::ChangeEvent;
use serde_json::Value;

use crate::queue::Key;

pub(crate) type Labels = BTreeMap<String, String>;

/// Short names for what metadata always has once the server has stored the object.
pub(crate) trait Meta: Metadata<Ty = ObjectMeta> {
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    fn labels(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.metadata().labels.as_ref().unwrap_or(&NONE)
    }

    fn annotations(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.metadata().annotations.as_ref().unwrap_or(&NONE)
    }

    fn is_deleted(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    fn controller(&self) -> Option<&OwnerReference> {
        self.metadata().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }

    fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| owner.uid == uid)
    }
}

impl<K: Metadata<Ty = ObjectMeta>> Meta for K {}

/// The owner reference that makes `owner` the managing controller.
pub(crate) fn controlled_by<K: Resource + Metadata<Ty = ObjectMeta>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(crate) fn reference<K: Resource + Metadata<Ty = ObjectMeta>>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

pub(crate) fn change_key(change: &ChangeEvent) -> Key {
    Key::new(change.namespace.as_deref().unwrap_or_default(), &*change.name)
}

/// The key of the controller of the changed object, if it is of this kind.
pub(crate) fn change_owner(change: &ChangeEvent, kind: &str) -> Option<Key> {
    let owner = owner_references(&change.object).find(|owner| owner["controller"] == Value::Bool(true))?;
    (owner["kind"] == kind)
        .then(|| Key::new(change.namespace.as_deref().unwrap_or_default(), owner["name"].as_str().unwrap_or_default()))
}

pub(crate) fn owner_references(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// Whether the change carries an object that no controller owns.
pub(crate) fn change_is_orphan(change: &ChangeEvent) -> bool {
    !owner_references(&change.object).any(|owner| owner["controller"] == Value::Bool(true))
}
