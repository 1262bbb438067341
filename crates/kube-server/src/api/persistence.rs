//! The objects on disk: one redb file, one row per object.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use kube_store::store::{Change, ChangeKind, ObjectKey};

use crate::error::ApiError;

/// Key: resource, namespace and name, separated by zero bytes, which none of them can contain.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";
const FILE: &str = "kubernetes.redb";
/// A new run starts this far above the last durable revision, so that a watcher that saw changes which a restored backup
/// does not hold can never mistake new revisions for those.
const EPOCH_STEP: u64 = 1000;
/// Most of the state is in memory anyway; the file's own cache only serves commits.
const CACHE_BYTES: usize = 2 << 20;

pub struct Disk(Database);

#[derive(Default)]
pub struct Restored {
    pub objects: Vec<(ObjectKey, Arc<Value>)>,
    pub revision: u64,
}

fn key_text(key: &ObjectKey) -> String {
    format!("{}\0{}\0{}", key.resource, key.namespace.as_deref().unwrap_or_default(), key.name)
}

fn parse_key(text: &str) -> Option<ObjectKey> {
    let mut parts = text.split('\0');
    let (resource, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(ObjectKey::new(resource, (!namespace.is_empty()).then_some(namespace), name))
}

impl Disk {
    pub fn open(dir: &Path) -> Result<Disk, ApiError> {
        let path = dir.join(FILE);
        std::fs::create_dir_all(dir)
            .map_err(|error| ApiError::internal(format!("cannot create {}: {error}", dir.display())))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path)
            .map_err(|error| ApiError::internal(format!("cannot open {}: {error}", path.display())))?;
        Ok(Disk(database))
    }

    pub fn load(&self) -> Result<Restored, ApiError> {
        self.read().map_err(|error| ApiError::internal(format!("cannot read {FILE}: {error}")))
    }

    fn read(&self) -> Result<Restored, redb::Error> {
        let write = self.0.begin_write()?;
        write.open_table(OBJECTS)?;
        write.open_table(COUNTERS)?;
        write.commit()?;
        let read = self.0.begin_read()?;
        let revision = read.open_table(COUNTERS)?.get(REVISION)?.map_or(0, |stored| stored.value());
        let mut objects = Vec::new();
        for row in read.open_table(OBJECTS)?.iter()? {
            let (key, bytes) = row?;
            let (Some(key), Ok(object)) = (parse_key(key.value()), serde_json::from_slice(bytes.value())) else {
                return Err(redb::Error::Corrupted(format!("row {:?} does not hold an object", key.value())));
            };
            objects.push((key, Arc::new(object)));
        }
        let revision = if revision == 0 { 0 } else { revision + EPOCH_STEP };
        Ok(Restored { objects, revision })
    }

    /// Makes all changes durable, or none.
    pub fn commit<'c>(&self, changes: impl Iterator<Item = &'c Change>) -> Result<(), redb::Error> {
        let write = self.0.begin_write()?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            let mut last = None;
            for change in changes {
                let key = key_text(&change.key);
                if change.kind == ChangeKind::Deleted {
                    objects.remove(key.as_str())?;
                } else {
                    objects.insert(key.as_str(), change.object.to_string().as_bytes())?;
                }
                last = Some(change.revision);
            }
            if let Some(revision) = last {
                write.open_table(COUNTERS)?.insert(REVISION, revision)?;
            }
        }
        write.commit()?;
        Ok(())
    }
}
