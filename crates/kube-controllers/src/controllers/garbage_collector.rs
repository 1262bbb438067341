//! Deletes what lost its owners, in the background, in the foreground or not at all (orphan), as upstream's garbage
//! collector does. The graph of owners is an index kept current from the change stream; nothing is polled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use kube_server::{ChangeEvent, ChangeKind, DeleteOptions, PatchKind};
use parking_lot::Mutex;
use serde_json::{Value, json};
use units::Millis;

use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::owner_references;
use crate::queue::Key;
use crate::runtime::Reconciler;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Events own nothing and are owned by nobody, and there are many of them.
const NOT_INDEXED: [&str; 2] = ["events", "events.events.k8s.io"];

/// One object of any resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    resource: String,
    namespace: Option<String>,
    name: String,
}

impl Item {
    fn of(resource: &str, object: &Value) -> Item {
        let text = |field: &str| object["metadata"][field].as_str().map(ToOwned::to_owned);
        Item { resource: resource.to_owned(), namespace: text("namespace"), name: text("name").unwrap_or_default() }
    }

    /// `resource/namespace` in the place of a namespace: resources have no slash in their names.
    fn key(&self) -> Key {
        Key::new(format!("{}/{}", self.resource, self.namespace.as_deref().unwrap_or_default()), &*self.name)
    }

    fn from_key(key: &Key) -> Item {
        let (resource, namespace) = key.namespace.split_once('/').unwrap_or((&key.namespace, ""));
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        Item { resource: resource.to_owned(), namespace, name: key.name.clone() }
    }
}

#[derive(Default)]
struct Graph {
    /// Every object by its uid.
    objects: BTreeMap<String, Item>,
    /// The uids of the owners of an object, to find the entries of `dependents` that it leaves.
    owners: BTreeMap<String, BTreeSet<String>>,
    dependents: BTreeMap<String, BTreeSet<Item>>,
}

impl Graph {
    fn put(&mut self, item: &Item, object: &Value) {
        let uid = uid(object);
        let owners: BTreeSet<String> =
            owner_references(object).filter_map(|owner| owner["uid"].as_str().map(ToOwned::to_owned)).collect();
        self.objects.insert(uid.clone(), item.clone());
        let before = if owners.is_empty() { self.owners.remove(&uid) } else { self.owners.insert(uid, owners.clone()) };
        for gone in before.unwrap_or_default().difference(&owners) {
            self.unlink(gone, item);
        }
        for owner in owners {
            self.dependents.entry(owner).or_default().insert(item.clone());
        }
    }

    fn remove(&mut self, item: &Item, object: &Value) {
        let uid = uid(object);
        self.objects.remove(&uid);
        for owner in self.owners.remove(&uid).unwrap_or_default() {
            self.unlink(&owner, item);
        }
    }

    fn unlink(&mut self, owner: &str, item: &Item) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(item);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn dependents(&self, uid: &str) -> Vec<Item> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn is_deleted(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|one| one == finalizer)
}

pub(crate) struct GarbageCollector {
    context: Context,
    graph: Mutex<Graph>,
}

impl GarbageCollector {
    pub(crate) fn new(context: &Context) -> GarbageCollector {
        GarbageCollector { context: context.clone(), graph: Mutex::default() }
    }
}

#[async_trait]
impl Reconciler for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        if NOT_INDEXED.contains(&&*change.resource) {
            return;
        }
        let item = Item::of(&change.resource, &change.object);
        let mut graph = self.graph.lock();
        if change.kind == ChangeKind::Deleted {
            graph.remove(&item, &change.object);
            dirty.extend(graph.dependents(&uid(&change.object)).iter().map(Item::key));
            // Owners that wait in the foreground for this dependent.
            for owner in owner_references(&change.object).filter_map(|owner| owner["uid"].as_str()) {
                dirty.extend(graph.objects.get(owner).map(Item::key));
            }
            return;
        }
        graph.put(&item, &change.object);
        let needs_visit = is_deleted(&change.object) || owner_references(&change.object).next().is_some();
        if needs_visit {
            dirty.push(item.key());
        }
    }

    fn all(&self) -> Vec<Key> {
        let mut fresh = Graph::default();
        let mut keys = Vec::new();
        for info in self.context.client.resources() {
            if NOT_INDEXED.contains(&&*info.resource) {
                continue;
            }
            for object in self.context.client.list_raw(&info.resource, None) {
                let item = Item::of(&info.resource, &object);
                fresh.put(&item, &object);
                if is_deleted(&object) || owner_references(&object).next().is_some() {
                    keys.push(item.key());
                }
            }
        }
        *self.graph.lock() = fresh;
        keys
    }

    /// As many workers as upstream's `--concurrent-gc-syncs`.
    fn parallelism(&self) -> usize {
        20
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let item = Item::from_key(key);
        let Some(object) = self.read(&item) else { return Ok(None) };
        if is_deleted(&object) {
            if has_finalizer(&object, ORPHAN) {
                self.orphan_dependents(&item, &object).await?;
            } else if has_finalizer(&object, FOREGROUND) {
                self.delete_dependents(&item, &object).await?;
            }
            return Ok(None);
        }
        self.judge(&item, &object).await?;
        Ok(None)
    }
}

/// The owner references of one object by the state of their owners.
#[derive(Default)]
struct Owners<'a> {
    solid: Vec<&'a Value>,
    gone: Vec<&'a Value>,
    /// Deleted in the foreground: they wait for this dependent to go first.
    waiting: Vec<&'a Value>,
}

impl GarbageCollector {
    fn read(&self, item: &Item) -> Option<Arc<Value>> {
        self.context.client.get_raw(&item.resource, item.namespace.as_deref(), &item.name)
    }

    fn owners<'a>(&self, object: &'a Value) -> Owners<'a> {
        let mut owners = Owners::default();
        for reference in owner_references(object) {
            let uid = reference["uid"].as_str().unwrap_or_default();
            let known = self.graph.lock().objects.get(uid).cloned();
            let owner = known.and_then(|item| self.read(&item)).filter(|owner| owner["metadata"]["uid"] == uid);
            match owner {
                None => owners.gone.push(reference),
                Some(owner) if is_deleted(&owner) && has_finalizer(&owner, FOREGROUND) => {
                    owners.waiting.push(reference)
                }
                Some(_) => owners.solid.push(reference),
            }
        }
        owners
    }

    async fn judge(&self, item: &Item, object: &Value) -> Result<(), Error> {
        let owners = self.owners(object);
        if owners.gone.is_empty() && owners.waiting.is_empty() {
            return Ok(());
        }
        if !owners.solid.is_empty() {
            return self.set_owners(item, object, &owners.solid).await;
        }
        let has_dependents = !self.graph.lock().dependents(&uid(object)).is_empty();
        let propagation = if has_finalizer(object, ORPHAN) {
            "Orphan"
        } else if has_finalizer(object, FOREGROUND) || (!owners.waiting.is_empty() && has_dependents) {
            "Foreground"
        } else {
            "Background"
        };
        self.delete(item, object, propagation).await
    }

    async fn delete(&self, item: &Item, object: &Value, propagation: &str) -> Result<(), Error> {
        let options = DeleteOptions {
            uid: Some(uid(object)),
            // Owners that were added in the meantime must not be overlooked.
            resource_version: object["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned),
            propagation: Some(propagation.to_owned()),
            ..DeleteOptions::default()
        };
        let outcome =
            self.context.client.delete_raw(&item.resource, item.namespace.as_deref(), &item.name, &options).await;
        ignore_gone(outcome).context(|| format!("delete {} {}", item.resource, item.name))?;
        Ok(())
    }

    async fn set_owners(&self, item: &Item, object: &Value, owners: &[&Value]) -> Result<(), Error> {
        let owners = if owners.is_empty() { Value::Null } else { json!(owners) };
        self.patch(item, object, json!({"ownerReferences": owners})).await
    }

    /// Merges into the metadata of exactly the version that was read.
    async fn patch(&self, item: &Item, object: &Value, mut metadata: Value) -> Result<(), Error> {
        metadata["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        metadata["uid"] = object["metadata"]["uid"].clone();
        let patch = json!({"metadata": metadata});
        let client = &self.context.client;
        let outcome =
            client.patch_raw(&item.resource, item.namespace.as_deref(), &item.name, PatchKind::Merge, &patch).await;
        ignore_gone(outcome).context(|| format!("patch {} {}", item.resource, item.name))?;
        Ok(())
    }

    async fn remove_finalizer(&self, item: &Item, object: &Value, finalizer: &str) -> Result<(), Error> {
        let left: Vec<&Value> =
            object["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|one| *one != finalizer).collect();
        let left = if left.is_empty() { Value::Null } else { json!(left) };
        self.patch(item, object, json!({"finalizers": left})).await
    }

    async fn orphan_dependents(&self, item: &Item, object: &Value) -> Result<(), Error> {
        let uid = uid(object);
        let dependents = self.graph.lock().dependents(&uid);
        let freed = dependents.iter().map(async |dependent| {
            let Some(object) = self.read(dependent) else { return Ok(()) };
            let others: Vec<&Value> = owner_references(&object).filter(|owner| owner["uid"] != uid).collect();
            self.set_owners(dependent, &object, &others).await
        });
        join_all(freed).await.into_iter().collect::<Result<Vec<()>, Error>>()?;
        self.remove_finalizer(item, object, ORPHAN).await
    }

    /// Deletes the dependents that block, and lets the owner go once none of them is left.
    async fn delete_dependents(&self, item: &Item, object: &Value) -> Result<(), Error> {
        let uid = uid(object);
        let dependents: Vec<(Item, Arc<Value>)> = self
            .graph
            .lock()
            .dependents(&uid)
            .into_iter()
            .filter_map(|dependent| self.read(&dependent).map(|object| (dependent, object)))
            .collect();
        let blocks = |dependent: &Value| {
            owner_references(dependent).any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true)
        };
        if !dependents.iter().any(|(_, dependent)| blocks(dependent)) {
            return self.remove_finalizer(item, object, FOREGROUND).await;
        }
        let judged = dependents
            .iter()
            .filter(|(_, dependent)| !is_deleted(dependent))
            .map(async |(item, dependent)| self.judge(item, dependent).await);
        join_all(judged).await.into_iter().collect::<Result<Vec<()>, Error>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, owners: &[&str]) -> Value {
        let owners: Vec<Value> = owners.iter().map(|owner| json!({"uid": owner})).collect();
        json!({"metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners}})
    }

    fn put(graph: &mut Graph, name: &str, owners: &[&str]) {
        let object = object(name, owners);
        graph.put(&Item::of("pods", &object), &object);
    }

    fn check(graph: &Graph, owner: &str, expected: &[&str]) {
        let names: Vec<String> = graph.dependents(owner).into_iter().map(|item| item.name).collect();
        assert_eq!(names, expected, "dependents of {owner}");
    }

    #[test]
    fn the_graph_follows_changed_owners() {
        let mut graph = Graph::default();
        put(&mut graph, "child", &["a", "b"]);
        check(&graph, "a", &["child"]);
        put(&mut graph, "child", &["b"]);
        check(&graph, "a", &[]);
        check(&graph, "b", &["child"]);
        let gone = object("child", &["b"]);
        graph.remove(&Item::of("pods", &gone), &gone);
        check(&graph, "b", &[]);
        assert!(graph.objects.is_empty() && graph.owners.is_empty() && graph.dependents.is_empty());
    }

    #[test]
    fn keys_and_items_are_one_to_one() {
        for (resource, namespace) in [("pods", Some("default")), ("nodes", None), ("deployments.apps", Some("a"))] {
            let item = Item { resource: resource.into(), namespace: namespace.map(Into::into), name: "x".into() };
            assert_eq!(Item::from_key(&item.key()), item);
        }
    }
}
