//! Group commit: writers queue their changes, one thread makes all that wait durable with one sync, then publishes them
//! in order and wakes the writers. Nothing is acknowledged or shown to a reader before it is on disk.

use std::sync::{Weak, mpsc};

use tokio::sync::oneshot;

use kube_store::store::{Change, ChangeKind as StoreKind, Store};

use super::persistence::Disk;
use super::{Api, LOG_CAPACITY};
use crate::client::{ChangeEvent, ChangeKind};
use crate::error::ApiError;
use crate::registry::custom;

/// Bounds how long the first writer of a group waits for the others' bytes.
const GROUP_LIMIT: usize = 512;

pub type Done = oneshot::Receiver<Result<(), String>>;

/// The changes of one transaction.
pub struct Group {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), String>>,
}

#[derive(Clone)]
pub struct Sender(mpsc::Sender<Group>);

pub fn channel() -> (Sender, mpsc::Receiver<Group>) {
    let (sender, receiver) = mpsc::channel();
    (Sender(sender), receiver)
}

impl Sender {
    /// Must be called while the store is locked, so that groups queue in the order of their revisions.
    pub fn send(&self, changes: Vec<Change>) -> Done {
        let (done, receiver) = oneshot::channel();
        // A closed queue drops `done`, which the waiting writer reports.
        let _ = self.0.send(Group { changes, done });
        receiver
    }
}

pub async fn wait(done: Done) -> Result<(), ApiError> {
    match done.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(ApiError::internal(format!("the change could not be stored: {why}"))),
        Err(_) => Err(ApiError::unavailable("the server is shutting down")),
    }
}

/// The thread ends when the API is dropped: it holds no strong reference while it waits.
pub fn start(api: Weak<Api>, disk: Option<Disk>, receiver: mpsc::Receiver<Group>) -> Result<(), ApiError> {
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || run(&api, disk.as_ref(), &receiver))
        .map_err(|error| ApiError::internal(format!("cannot start the journal's thread: {error}")))?;
    Ok(())
}

fn run(api: &Weak<Api>, disk: Option<&Disk>, receiver: &mpsc::Receiver<Group>) {
    while let Ok(first) = receiver.recv() {
        let mut groups = vec![first];
        while groups.len() < GROUP_LIMIT
            && let Ok(next) = receiver.try_recv()
        {
            groups.push(next);
        }
        let changes = groups.iter().flat_map(|group| &group.changes);
        let outcome = disk.map_or(Ok(()), |disk| disk.commit(changes).map_err(|error| error.to_string()));
        let Some(api) = api.upgrade() else { return };
        match outcome {
            Ok(()) => publish(&api, groups),
            Err(why) => roll_back(&api, groups, receiver, &why),
        }
    }
}

fn publish(api: &Api, groups: Vec<Group>) {
    for group in groups {
        for change in &group.changes {
            api.cache.apply(change);
            custom::follow(&api.registry, change);
            api.published.send_replace(change.revision);
            // No subscriber is not an error.
            let _ = api.changes.send(event(change));
        }
        let _ = group.done.send(Ok(()));
    }
}

fn event(change: &Change) -> ChangeEvent {
    ChangeEvent {
        kind: match change.kind {
            StoreKind::Added => ChangeKind::Added,
            StoreKind::Modified => ChangeKind::Modified,
            StoreKind::Deleted => ChangeKind::Deleted,
        },
        resource: change.key.resource.clone(),
        namespace: change.key.namespace.clone(),
        name: change.key.name.clone(),
        object: change.object.clone(),
    }
}

/// The writers' store is ahead of the disk by what failed: go back to what is durable. Watchers get 410 and list again.
fn roll_back(api: &Api, groups: Vec<Group>, receiver: &mpsc::Receiver<Group>, why: &str) {
    tracing::error!(error = why, "cannot make changes durable; they are refused");
    let mut store = api.store.lock();
    let waiting: Vec<Group> = receiver.try_iter().collect();
    *store = Store::restore(api.cache.snapshot(), store.revision()).with_log_capacity(LOG_CAPACITY);
    drop(store);
    for group in groups.into_iter().chain(waiting) {
        let _ = group.done.send(Err(why.to_owned()));
    }
}
