//! What every request comes down to, whether it came over HTTPS or from a controller: reads from the durable cache,
//! writes through admission, validation and the journal.

mod binding;
mod cache;
mod create;
mod decode;
mod delete;
pub mod events;
mod eviction;
mod identity;
mod journal;
mod metadata;
mod patch;
mod persistence;
mod read;
mod scale;
mod token;
mod transaction;
mod update;
mod vault;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, watch as signal};

use kube_store::store::Store;

use crate::client::ChangeEvent;
use crate::decisions::DecisionSource;
use crate::error::ApiError;
use crate::node_agent::NodeAgent;
use crate::registry::Registry;
use crate::settings::Settings;

pub use cache::Cache;
pub use decode::FieldValidation;
pub use identity::Caller;
pub use read::ListOptions;
pub use scale::scale_object;
pub use token::PodToken;
pub use transaction::Transaction;
pub use watch::{Watch, WatchEvent, WatchOptions};

/// Changes per resource that a watcher or a paged list can go back. Each keeps the object that it replaced, so this bounds
/// the memory of a busy resource.
const LOG_CAPACITY: usize = 256;
/// Changes that a slow in-process subscriber may lag behind.
const SUBSCRIBER_CAPACITY: usize = 4096;

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Status,
    Scale,
    /// A namespace's `spec.finalizers`.
    Finalize,
}

#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Empty means: derived from the client's user agent by the caller.
    pub field_manager: String,
    pub dry_run: bool,
    pub field_validation: FieldValidation,
}

/// A write that is durable, or that would have been, in a dry run.
#[derive(Debug)]
pub struct Written {
    pub object: Arc<serde_json::Value>,
    pub created: bool,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

pub struct Api {
    settings: Settings,
    registry: Registry,
    /// Ahead of `cache` by what is not on disk yet; only writers look at it.
    store: Mutex<Store>,
    cache: Cache,
    journal: journal::Sender,
    changes: broadcast::Sender<ChangeEvent>,
    /// The revision up to which everything is durable and in `cache`.
    published: signal::Sender<u64>,
    node_agent: RwLock<Option<Arc<dyn NodeAgent>>>,
    decisions: RwLock<Option<Arc<dyn DecisionSource>>>,
    /// None where nothing is kept on disk.
    disk_full: Option<Arc<AtomicBool>>,
}

impl Api {
    /// Opens the store, restores what it holds and starts the journal's thread.
    ///
    /// # Errors
    /// When the data directory cannot be opened or read.
    pub fn open(settings: Settings) -> Result<Arc<Api>, ApiError> {
        let disk = settings.data_dir.as_deref().map(persistence::Disk::open).transpose()?;
        Api::on(settings, disk)
    }

    fn on(settings: Settings, mut disk: Option<persistence::Disk>) -> Result<Arc<Api>, ApiError> {
        let restored = match &mut disk {
            Some(disk) => disk.load(u64::try_from(crate::clock::now().secs()).unwrap_or_default())?,
            None => persistence::Restored::default(),
        };
        let revision = restored.revision;
        let cache = Cache::default();
        for (key, object) in &restored.objects {
            cache.insert(key, object.clone());
        }
        let store = Store::restore(restored.objects, revision).with_log_capacity(LOG_CAPACITY);
        let (sender, receiver) = journal::channel();
        let api = Arc::new(Api {
            settings,
            registry: Registry::new(),
            store: Mutex::new(store),
            cache,
            journal: sender,
            changes: broadcast::channel(SUBSCRIBER_CAPACITY).0,
            published: signal::channel(revision).0,
            node_agent: RwLock::new(None),
            decisions: RwLock::new(None),
            disk_full: disk.as_ref().map(persistence::Disk::full),
        });
        for definition in api.cache.list("customresourcedefinitions.apiextensions.k8s.io", None) {
            crate::registry::custom::register(&api.registry, &definition);
        }
        journal::start(Arc::downgrade(&api), disk, receiver)?;
        Ok(api)
    }

    /// Closes the file: what was acknowledged is in it, later writes are refused.
    pub async fn close(&self) {
        self.journal.close().await;
    }

    /// From now on, or no longer, writes fail as on a full disk.
    pub fn fill_disk(&self, full: bool) {
        if let Some(disk) = &self.disk_full {
            disk.store(full, Ordering::Relaxed);
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn subscribe(&self) -> broadcast::Receiver<ChangeEvent> {
        self.changes.subscribe()
    }

    pub fn published(&self) -> u64 {
        *self.published.borrow()
    }

    pub fn node_agent(&self) -> Option<Arc<dyn NodeAgent>> {
        self.node_agent.read().clone()
    }

    pub fn set_node_agent(&self, agent: Arc<dyn NodeAgent>) {
        *self.node_agent.write() = Some(agent);
    }

    pub fn decisions(&self) -> Option<Arc<dyn DecisionSource>> {
        self.decisions.read().clone()
    }

    pub fn set_decisions(&self, source: Arc<dyn DecisionSource>) {
        *self.decisions.write() = Some(source);
    }

    /// Starts a write: everything until the transaction ends sees one state and no other writer.
    fn begin<'a>(&'a self, caller: &'a Caller, options: &'a WriteOptions) -> Transaction<'a> {
        Transaction::new(self, self.store.lock(), caller, options)
    }
}

#[cfg(test)]
#[path = "churn_tests.rs"]
mod churn_tests;
#[cfg(test)]
#[path = "../../../testkit/src/storage.rs"]
mod storage;
