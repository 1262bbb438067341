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

pub type Done = oneshot::Receiver<Result<(), ApiError>>;

/// The changes of one transaction.
pub struct Group {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), ApiError>>,
}

/// What the journal's thread is told.
pub enum Message {
    Store(Group),
    /// Close the file, after everything before this.
    Close(oneshot::Sender<()>),
}

#[derive(Clone)]
pub struct Sender(mpsc::Sender<Message>);

pub fn channel() -> (Sender, mpsc::Receiver<Message>) {
    let (sender, receiver) = mpsc::channel();
    (Sender(sender), receiver)
}

impl Sender {
    /// Must be called while the store is locked, so that groups queue in the order of their revisions.
    pub fn send(&self, changes: Vec<Change>) -> Done {
        let (done, receiver) = oneshot::channel();
        // A closed queue drops `done`, which the waiting writer reports.
        let _ = self.0.send(Message::Store(Group { changes, done }));
        receiver
    }

    /// Resolves when the file is closed; every later write is refused.
    pub async fn close(&self) {
        let (closed, receiver) = oneshot::channel();
        if self.0.send(Message::Close(closed)).is_ok() {
            // An error means that the thread has ended already.
            let _ = receiver.await;
        }
    }
}

pub async fn wait(done: Done) -> Result<(), ApiError> {
    match done.await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::unavailable("the server is shutting down")),
    }
}

/// The thread ends when the API is dropped: it holds no strong reference while it waits.
pub fn start(api: Weak<Api>, disk: Option<Disk>, receiver: mpsc::Receiver<Message>) -> Result<(), ApiError> {
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || run(&api, disk, &receiver))
        .map_err(|error| ApiError::internal(format!("cannot start the journal's thread: {error}")))?;
    Ok(())
}

fn run(api: &Weak<Api>, mut disk: Option<Disk>, receiver: &mpsc::Receiver<Message>) {
    while let Ok(first) = receiver.recv() {
        let mut groups = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Store(group) => groups.push(group),
                Message::Close(closed) => closing = Some(closed),
            }
            let full = groups.len() >= GROUP_LIMIT || closing.is_some();
            next = if full { None } else { receiver.try_recv().ok() };
        }
        if !groups.is_empty() {
            let changes: Vec<&Change> = groups.iter().flat_map(|group| &group.changes).collect();
            let outcome = disk.as_mut().map_or(Ok(()), |disk| disk.commit(&changes));
            let Some(api) = api.upgrade() else { return };
            match outcome {
                Ok(()) => publish(&api, groups),
                Err(why) => closing = roll_back(&api, groups, receiver, &why).or(closing),
            }
        }
        if let Some(closed) = closing {
            drop(disk);
            let _ = closed.send(());
            return;
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
/// Returns a wish to close that was waiting.
fn roll_back(
    api: &Api,
    groups: Vec<Group>,
    receiver: &mpsc::Receiver<Message>,
    why: &ApiError,
) -> Option<oneshot::Sender<()>> {
    tracing::error!(error = %why, "changes cannot be made durable; they are refused");
    let mut store = api.store.lock();
    let (mut waiting, mut closing) = (Vec::new(), None);
    for message in receiver.try_iter() {
        match message {
            Message::Store(group) => waiting.push(group),
            Message::Close(closed) => closing = Some(closed),
        }
    }
    *store = Store::restore(api.cache.snapshot(), store.revision()).with_log_capacity(LOG_CAPACITY);
    // The log begins anew here, and readers ask for the state as of `published`.
    api.published.send_replace(store.revision());
    drop(store);
    for group in groups.into_iter().chain(waiting) {
        let _ = group.done.send(Err(why.clone()));
    }
    closing
}
