//! Records on disk: one redb table, one writer, commits in groups.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use arm_engine::Record;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use crate::seal::Seal;

/// `table\0key` → the row's JSON, sealed: rows hold passwords, kubeconfigs and secure parameters.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

type Failure = Box<dyn Error + Send + Sync>;

/// Opens the file; again after a failure, since redb does no more once a write has failed.
type Opener = Box<dyn Fn() -> Result<Database, Failure> + Send>;

struct Batch {
    records: Vec<Record>,
    done: oneshot::Sender<Result<(), String>>,
}

/// Hands records to the thread that writes them. What is submitted first is durable first.
pub(crate) struct Committer {
    /// Gone once the store is closed.
    batches: Option<mpsc::Sender<Batch>>,
    writer: Option<std::thread::JoinHandle<()>>,
    /// Nothing is written while it says so, as if the disk were full.
    full: Arc<AtomicBool>,
}

impl Committer {
    /// Opens or makes the store, readable by its owner only, and reads every record.
    pub fn open(path: &Path, seal: Seal) -> Result<(Committer, Vec<Record>), Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let path = path.to_owned();
        let open = move || Ok(Database::builder().create_with_backend(FileBackend::new(private_file(&path)?)?)?);
        Committer::over(Box::new(open), seal)
    }

    fn over(open: Opener, seal: Seal) -> Result<(Committer, Vec<Record>), Failure> {
        let database = open()?;
        let setup = database.begin_write()?;
        setup.open_table(RECORDS)?;
        setup.commit()?;
        let records = read_all(&database, &seal)?;
        let (batches, waiting) = mpsc::channel();
        let full = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&full);
        let writer = std::thread::Builder::new()
            .name("arm-store".to_owned())
            .spawn(move || write_batches(database, &open, &seal, &seen, &waiting))?;
        Ok((Committer { batches: Some(batches), writer: Some(writer), full }, records))
    }

    /// From now on, or no longer, writes fail as on a full disk; for faults on demand.
    pub fn fill_disk(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Ends when these records, and all before them, are on disk.
    pub fn submit(&self, records: Vec<Record>) -> oneshot::Receiver<Result<(), String>> {
        let (done, waiter) = oneshot::channel();
        // A store that is closed drops `done`, which the waiter sees.
        if let Some(batches) = &self.batches {
            let _ = batches.send(Batch { records, done });
        }
        waiter
    }

    /// Takes no more records. The thread that is returned ends when all before are on disk and the file is unlocked.
    pub fn close(&mut self) -> Option<std::thread::JoinHandle<()>> {
        self.batches = None;
        self.writer.take()
    }
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn read_all(database: &Database, seal: &Seal) -> Result<Vec<Record>, Failure> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(RECORDS)?;
    let mut records = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let place = key.value();
        let (name, key) = place.split_once('\0').ok_or("a key of the store has no table")?;
        let opened = seal.open(place, value.value())?;
        records.push(Record {
            table: name.to_owned(),
            key: key.to_owned(),
            value: Some(serde_json::from_slice(&opened)?),
        });
    }
    Ok(records)
}

/// Writes until every sender is gone. Records that could not be written (a full disk) are kept and tried again with
/// the next batch, so that the order on disk is the order of the engine.
fn write_batches(database: Database, open: &Opener, seal: &Seal, full: &AtomicBool, batches: &mpsc::Receiver<Batch>) {
    let mut database = Some(database);
    let mut owed: Vec<Record> = Vec::new();
    while let Ok(first) = batches.recv() {
        let mut waiting = vec![first.done];
        owed.extend(first.records);
        while let Ok(next) = batches.try_recv() {
            owed.extend(next.records);
            waiting.push(next.done);
        }
        let result = match owed.is_empty() {
            true => Ok(()),
            false if full.load(Ordering::Relaxed) => Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()),
            false => write_all(&mut database, open, seal, &owed),
        };
        let result = result.map_err(|error| error.to_string());
        if result.is_ok() {
            owed.clear();
        }
        for done in waiting {
            // Who no longer waits (a closed connection) is not told.
            let _ = done.send(result.clone());
        }
    }
}

/// With the file opened again after a failure: redb does no more once a write has failed.
fn write_all(database: &mut Option<Database>, open: &Opener, seal: &Seal, records: &[Record]) -> Result<(), Failure> {
    let opened = match database.take() {
        Some(opened) => opened,
        None => open()?,
    };
    write(&opened, seal, records)?;
    *database = Some(opened);
    Ok(())
}

fn write(database: &Database, seal: &Seal, records: &[Record]) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for record in records {
            let key = format!("{}\0{}", record.table, record.key);
            match &record.value {
                Some(value) => table.insert(key.as_str(), seal.close(&key, serde_json::to_vec(value)?)?.as_slice())?,
                None => table.remove(key.as_str())?,
            };
        }
    }
    // redb syncs the file before commit returns (Durability::Immediate is its default).
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
