//! The objects on disk: one redb file, one row per object, secrets encrypted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use kube_store::store::{Change, ChangeKind, ObjectKey};

use super::vault::{self, Vault};
use crate::error::ApiError;

/// Key: resource, namespace and name, separated by zero bytes, which none of them can contain.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";
const FILE: &str = "kubernetes.redb";
/// A new run's revisions start here for each second since 1970, or this far above the last durable one where the clock
/// went back. Two runs on one restored backup then never share revisions, so a watcher of the one can never mistake the
/// other's for its own: it is answered 410. Stays below 2⁵³, which clients in JavaScript need, and above what is written.
const REVISIONS_PER_SECOND: u64 = 1_000_000;
/// Most of the state is in memory anyway; the file's own cache only serves commits.
const CACHE_BYTES: usize = 2 << 20;
/// The resource whose objects are encrypted.
const SECRETS: &str = "secrets";

/// Opens the file that the rows are in; again after a failure, since redb does no more once a write has failed.
pub type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

type Rows = Vec<(String, Vec<u8>)>;
/// What a row is named, and its bytes; none for a row that is gone.
type Row = (String, Option<Vec<u8>>);

pub struct Disk {
    open: Opener,
    /// For messages.
    place: PathBuf,
    /// Absent after a failed commit, until the next one.
    database: Option<Database>,
    vault: Option<Vault>,
    /// Nothing is written while it says so, as if the disk were full.
    full: Arc<AtomicBool>,
    /// Rows of failed commits, of which nobody knows whether they reached the disk, and what they must hold.
    doubtful: BTreeMap<String, Option<Vec<u8>>>,
}

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

/// A full disk is the operator's to solve, and said so.
fn failed(error: &redb::Error) -> ApiError {
    let is_full = matches!(error, redb::Error::Io(error)
        if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge));
    if is_full {
        let message = format!(
            "the change was not stored: {error}. Nothing that was stored before is lost; free some space and try again"
        );
        return ApiError::new(507, "InsufficientStorage", message);
    }
    ApiError::internal(format!("the change could not be stored: {error}"))
}

impl Disk {
    /// # Errors
    /// When the directory or the file cannot be made or opened.
    pub fn open(dir: &Path) -> Result<Disk, ApiError> {
        let path = dir.join(FILE);
        std::fs::create_dir_all(dir)
            .map_err(|error| ApiError::internal(format!("cannot create {}: {error}", dir.display())))?;
        let vault = Vault::read(dir)?;
        let opener = {
            let path = path.clone();
            move || {
                let mut options = std::fs::OpenOptions::new();
                let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
                Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)
            }
        };
        let disk = Disk::over(Box::new(opener), path, vault)?;
        // The file's name must outlive a power failure as its content does.
        std::fs::File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| ApiError::internal(format!("cannot sync {}: {error}", dir.display())))?;
        Ok(disk)
    }

    /// # Errors
    /// When the file cannot be opened.
    pub fn over(open: Opener, place: PathBuf, vault: Option<Vault>) -> Result<Disk, ApiError> {
        let database =
            open().map_err(|error| ApiError::internal(format!("cannot open {}: {error}", place.display())))?;
        Ok(Disk { open, place, database: Some(database), vault, full: Arc::default(), doubtful: BTreeMap::new() })
    }

    /// Set it, and commits fail as on a full disk; for faults on demand.
    pub fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Reads everything. Where there is no key for secrets yet, one is made.
    ///
    /// # Errors
    /// When a row cannot be read or decrypted, or the key cannot be written.
    pub fn load(&mut self, now_seconds: u64) -> Result<Restored, ApiError> {
        let place = self.place.display().to_string();
        let (rows, revision) =
            self.rows().map_err(|error| ApiError::internal(format!("cannot read {place}: {error}")))?;
        let mut objects = Vec::new();
        for (row, bytes) in rows {
            let wrong = |why: &str| {
                let row = row.replace('\0', "/");
                ApiError::internal(format!("cannot read {place}: {row} {why}"))
            };
            let bytes =
                if vault::is_sealed(&bytes) { self.unseal(&row, &bytes).map_err(|why| wrong(&why))? } else { bytes };
            let key = parse_key(&row).ok_or_else(|| wrong("names no object"))?;
            let object = serde_json::from_slice(&bytes).map_err(|_| wrong("does not hold an object"))?;
            objects.push((key, Arc::new(object)));
        }
        if self.vault.is_none() {
            self.vault = Some(Vault::create(self.place.parent().unwrap_or(Path::new(".")))?);
        }
        let epoch = (now_seconds * REVISIONS_PER_SECOND).max(revision + REVISIONS_PER_SECOND);
        Ok(Restored { objects, revision: epoch })
    }

    fn unseal(&self, row: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let Some(vault) = &self.vault else {
            let key = vault::path(self.place.parent().unwrap_or(Path::new(".")));
            return Err(format!("is encrypted, and its key is not there: bring back {}", key.display()));
        };
        vault.open(row, bytes)
    }

    /// Every row, and the last revision.
    fn rows(&mut self) -> Result<(Rows, u64), redb::Error> {
        let database = self.database()?;
        let write = database.begin_write()?;
        write.open_table(OBJECTS)?;
        write.open_table(COUNTERS)?;
        write.commit()?;
        let read = database.begin_read()?;
        let revision = read.open_table(COUNTERS)?.get(REVISION)?.map_or(0, |stored| stored.value());
        let mut rows = Vec::new();
        for row in read.open_table(OBJECTS)?.iter()? {
            let (key, bytes) = row?;
            rows.push((key.value().to_owned(), bytes.value().to_vec()));
        }
        Ok((rows, revision))
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        Ok(self.database.insert(database))
    }

    fn encoded(&self, row: &str, key: &ObjectKey, object: &Value) -> Result<Vec<u8>, ApiError> {
        let bytes = object.to_string().into_bytes();
        match &self.vault {
            Some(vault) if &*key.resource == SECRETS => vault.seal(row, &bytes),
            _ => Ok(bytes),
        }
    }

    /// Makes all changes durable, or none. After a failure the next commit opens the file again and first puts right what
    /// the failed one may have left.
    ///
    /// # Errors
    /// 507 when the disk is full, 500 for anything else that keeps the file from being written.
    pub fn commit(&mut self, changes: &[&Change]) -> Result<(), ApiError> {
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let row = key_text(&change.key);
            let bytes = match change.kind {
                ChangeKind::Deleted => None,
                _ => Some(self.encoded(&row, &change.key, &change.object)?),
            };
            rows.push((row, bytes));
        }
        match self.write(&rows, changes.last().map(|change| change.revision)) {
            Ok(()) => {
                self.doubtful.clear();
                Ok(())
            }
            Err(error) => {
                self.database = None;
                for (change, (row, _)) in changes.iter().zip(rows) {
                    let before = change.previous.as_deref();
                    let before = before.map(|object| self.encoded(&row, &change.key, object)).transpose()?;
                    // The first change of a row replaced what is durable; the later ones replaced one that failed.
                    self.doubtful.entry(row).or_insert(before);
                }
                Err(failed(&error))
            }
        }
    }

    fn write(&mut self, rows: &[Row], revision: Option<u64>) -> Result<(), redb::Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(redb::Error::Io(ErrorKind::StorageFull.into()));
        }
        let doubtful: Vec<_> = self.doubtful.iter().map(|(row, bytes)| (row.clone(), bytes.clone())).collect();
        let write = self.database()?.begin_write()?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            for (row, bytes) in doubtful.iter().chain(rows) {
                match bytes {
                    Some(bytes) => objects.insert(row.as_str(), bytes.as_slice())?,
                    None => objects.remove(row.as_str())?,
                };
            }
            if let Some(revision) = revision {
                write.open_table(COUNTERS)?.insert(REVISION, revision)?;
            }
        }
        // redb syncs the file before commit returns (Durability::Immediate is its default).
        write.commit()?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "persistence_tests.rs"]
mod tests;
