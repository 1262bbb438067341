//! The durable state as readers see it, with each object decoded into its type at most once.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use serde_json::Value;

use kube_store::store::{Change, ChangeKind, ObjectKey};

use crate::client::Object;

struct Entry {
    raw: Arc<Value>,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// Namespace (empty for cluster-scoped objects) and name.
type Slot = (Arc<str>, Arc<str>);
type Objects = BTreeMap<Slot, Arc<Entry>>;

#[derive(Default)]
pub struct Cache(RwLock<BTreeMap<Arc<str>, Objects>>);

fn slot(namespace: Option<&str>, name: &str) -> Slot {
    (namespace.unwrap_or_default().into(), name.into())
}

impl Entry {
    /// `None` when the stored object does not decode as `K`; what is stored was checked on its way in, so this means that
    /// the caller asks with a type of another version.
    fn typed<K: Object>(&self) -> Option<Arc<K>> {
        let decode = || K::deserialize(&*self.raw).ok().map(Arc::new);
        if let Some(known) = self.typed.get() {
            return known.clone().downcast::<K>().ok().or_else(decode);
        }
        let typed = decode()?;
        // A second reader may have been faster; both values are the same.
        let _ = self.typed.set(typed.clone());
        Some(typed)
    }
}

impl Cache {
    pub fn insert(&self, key: &ObjectKey, object: Arc<Value>) {
        let entry = Arc::new(Entry { raw: object, typed: OnceLock::new() });
        let mut resources = self.0.write();
        let objects = resources.entry(key.resource.clone()).or_default();
        objects.insert(slot(key.namespace.as_deref(), &key.name), entry);
    }

    pub fn apply(&self, change: &Change) {
        if change.kind != ChangeKind::Deleted {
            return self.insert(&change.key, change.object.clone());
        }
        if let Some(objects) = self.0.write().get_mut(&change.key.resource) {
            objects.remove(&slot(change.key.namespace.as_deref(), &change.key.name));
        }
    }

    fn entry(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Entry>> {
        self.0.read().get(resource)?.get(&slot(namespace, name)).cloned()
    }

    fn entries(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        let resources = self.0.read();
        let Some(objects) = resources.get(resource) else { return Vec::new() };
        match namespace {
            None => objects.values().cloned().collect(),
            Some(namespace) => objects
                .range(slot(Some(namespace), "")..)
                .take_while(|((in_namespace, _), _)| &**in_namespace == namespace)
                .map(|(_, entry)| entry.clone())
                .collect(),
        }
    }

    pub fn get(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        Some(self.entry(resource, namespace, name)?.raw.clone())
    }

    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.entries(resource, namespace).iter().map(|entry| entry.raw.clone()).collect()
    }

    pub fn typed<K: Object>(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.entry(resource, namespace, name)?.typed()
    }

    pub fn typed_list<K: Object>(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<K>> {
        self.entries(resource, namespace).iter().filter_map(|entry| entry.typed()).collect()
    }

    /// Everything, to rebuild the writers' store after a failed commit.
    pub fn snapshot(&self) -> Vec<(ObjectKey, Arc<Value>)> {
        let resources = self.0.read();
        let mut all = Vec::new();
        for (resource, objects) in resources.iter() {
            for ((namespace, name), entry) in objects {
                let namespace = (!namespace.is_empty()).then(|| namespace.clone());
                let key = ObjectKey { resource: resource.clone(), namespace, name: name.clone() };
                all.push((key, entry.raw.clone()));
            }
        }
        all
    }
}
