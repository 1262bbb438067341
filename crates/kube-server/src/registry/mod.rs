//! The one table of served resources: built-in rows, and what custom resource definitions add while the server runs.

mod builtin;
pub mod custom;
mod definition;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

pub use definition::{Origin, ResourceDef, ScalePaths, View};

use self::custom::CustomResource;

type PathKey = (String, String, String);

#[derive(Default)]
struct Tables {
    /// By group, version and plural, as a request path names them.
    by_path: BTreeMap<PathKey, Arc<ResourceDef>>,
    /// By storage name; the definition of the version that is stored.
    stored: BTreeMap<Arc<str>, Arc<ResourceDef>>,
}

/// Readers take a snapshot, so that a definition that appears meanwhile never blocks them.
pub struct Registry(RwLock<Arc<Tables>>);

impl Registry {
    pub fn new() -> Registry {
        let mut tables = Tables::default();
        for def in builtin::definitions() {
            tables.insert(Arc::new(def));
        }
        Registry(RwLock::new(Arc::new(tables)))
    }

    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceDef>> {
        self.0.read().by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    pub fn stored_by_name(&self, resource: &str) -> Option<Arc<ResourceDef>> {
        self.0.read().stored.get(resource).cloned()
    }

    /// Every stored resource once, by name.
    pub fn stored(&self) -> Vec<Arc<ResourceDef>> {
        self.0.read().stored.values().cloned().collect()
    }

    /// Every served version of every resource, by group, version and plural.
    pub fn served(&self) -> Vec<Arc<ResourceDef>> {
        self.0.read().by_path.values().cloned().collect()
    }

    /// Replaces what one custom resource definition serves; no versions removes it.
    pub fn set_custom(&self, resource: &str, versions: Vec<Arc<CustomResource>>) {
        let mut guard = self.0.write();
        let mut tables = Tables { by_path: guard.by_path.clone(), stored: guard.stored.clone() };
        tables.by_path.retain(|_, def| !(def.is_custom() && &*def.resource == resource));
        if tables.stored.get(resource).is_some_and(|def| def.is_custom()) {
            tables.stored.remove(resource);
        }
        for version in versions {
            tables.insert(Arc::new(version.definition()));
        }
        *guard = Arc::new(tables);
    }
}

impl Tables {
    fn insert(&mut self, def: Arc<ResourceDef>) {
        if def.served {
            self.by_path.insert((def.group.clone(), def.version.clone(), def.plural.clone()), def.clone());
        }
        if def.is_storage_version() {
            self.stored.insert(def.resource.clone(), def);
        }
    }
}
