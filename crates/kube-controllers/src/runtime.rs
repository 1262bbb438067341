//! Runs reconcilers: one dispatcher turns changes into dirty keys, one worker per controller works them off.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube_server::{ChangeEvent, Client};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use units::Millis;

use crate::clock;
use crate::error::Error;
use crate::queue::{Key, Queue};

/// One controller. `reconcile` reads the world from the client's caches, so that it may be called at any time, any
/// number of times, for a key that may be gone.
#[async_trait]
pub(crate) trait Reconciler: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The keys that a change makes dirty.
    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>);

    /// Every key: visited at the start, after lost changes and at every resync.
    fn all(&self) -> Vec<Key>;

    /// How many keys may be worked on at once. Writes wait for the disk, so that several in flight share one sync.
    fn parallelism(&self) -> usize {
        8
    }

    /// How long a change waits before its key is visited: zero for all but loops with a fixed rhythm.
    fn delay(&self) -> Millis {
        Millis::ZERO
    }

    /// Brings one object closer to what it should be; returns when to look again although nothing changed.
    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error>;
}

struct Registered {
    reconciler: Arc<dyn Reconciler>,
    queue: Arc<Queue>,
}

impl Registered {
    fn add(&self, keys: Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        match self.reconciler.delay() {
            Millis::ZERO => self.queue.add(keys),
            delay => {
                let deadline = clock::after(delay);
                keys.into_iter().for_each(|key| self.queue.add_at(key, deadline));
            }
        }
    }
}

/// Starts every reconciler; they stop when `stop` turns true.
pub(crate) fn run(
    client: &Client,
    reconcilers: Vec<Arc<dyn Reconciler>>,
    resync: Millis,
    stop: &watch::Receiver<bool>,
) {
    // Subscribing before the first listing, so that no change falls between the two.
    let changes = client.subscribe();
    let registered: Vec<Registered> =
        reconcilers.into_iter().map(|reconciler| Registered { reconciler, queue: Arc::default() }).collect();
    for one in &registered {
        tokio::spawn(work(one.reconciler.clone(), one.queue.clone(), stop.clone()));
    }
    tokio::spawn(dispatch(registered, changes, resync, stop.clone()));
}

async fn dispatch(
    registered: Vec<Registered>,
    mut changes: tokio::sync::broadcast::Receiver<ChangeEvent>,
    resync: Millis,
    mut stop: watch::Receiver<bool>,
) {
    let add_all = || registered.iter().for_each(|one| one.add(one.reconciler.all()));
    add_all();
    let mut next_resync = clock::after(resync);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => for one in &registered {
                    let mut dirty = Vec::new();
                    one.reconciler.affected(&change, &mut dirty);
                    one.add(dirty);
                },
                Err(RecvError::Lagged(lost)) => {
                    tracing::debug!(lost, "change stream lagged: visiting everything");
                    add_all();
                }
                Err(RecvError::Closed) => return,
            },
            () = clock::sleep_until(next_resync) => {
                add_all();
                next_resync = clock::after(resync);
            }
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn work(reconciler: Arc<dyn Reconciler>, queue: Arc<Queue>, mut stop: watch::Receiver<bool>) {
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < reconciler.parallelism() {
            let Some(key) = queue.take(clock::monotonic()) else { break };
            let reconciler = reconciler.clone();
            running.push(async move {
                let outcome = reconciler.reconcile(&key).await;
                (key, outcome)
            });
        }
        let room = running.len() < reconciler.parallelism();
        let deadline = queue.next_deadline().filter(|_| room);
        tokio::select! {
            () = queue.wake.notified(), if room => {}
            Some((key, outcome)) = running.next(), if !running.is_empty() => {
                finish(reconciler.name(), &queue, key, outcome);
            }
            () = clock::sleep_until(deadline.unwrap_or_else(clock::monotonic)), if deadline.is_some() => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

fn finish(controller: &'static str, queue: &Queue, key: Key, outcome: Result<Option<Millis>, Error>) {
    let now = clock::monotonic();
    match outcome {
        Ok(requeue) => queue.done(key, false, requeue, now),
        Err(error) => {
            // Somebody else wrote in between: the next visit sees what they wrote.
            if error.is_transient() {
                tracing::debug!(controller, %key, error = %error.chain(), "will retry");
            } else {
                tracing::warn!(controller, %key, error = %error.chain(), "could not reconcile, will retry");
            }
            queue.done(key, true, None, now);
        }
    }
}
