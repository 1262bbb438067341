//! The engine behind its lock: changes become durable before anybody hears of them, then effects run.

use std::sync::Arc;
use std::time::Duration;

use arm_engine::effect::{Effect, EffectId, Outcome};
use arm_engine::{Engine, Fault, Ids, Request, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use units::Timestamp;

use crate::clock;
use crate::effects::Effects;
use crate::storage::Committer;
use crate::trouble::{Switch, Trouble};

/// The state could not be made durable; what was asked may or may not survive a restart.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the embedded ARM cannot write its store: {0}")]
pub struct StorageFailed(String);

/// How long an answer "still running" is held back. Less than the second that clients are told to wait.
const HELD: Duration = Duration::from_millis(800);

struct State {
    engine: Engine,
    ids: Ids,
    committer: Committer,
}

struct Shared {
    state: Mutex<State>,
    effects: Arc<dyn Effects>,
    changes: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
    trouble: Switch,
}

/// Access to the engine for whoever composes the cloud. Clones share one engine.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

impl EngineHandle {
    pub(crate) fn new(
        engine: Engine,
        committer: Committer,
        effects: Arc<dyn Effects>,
        stopped: watch::Receiver<bool>,
    ) -> EngineHandle {
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        let state = State { engine, ids: Ids::new(seed.0 ^ seed.1), committer };
        EngineHandle {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                effects,
                changes: watch::Sender::new(0),
                stopped,
                trouble: Switch::default(),
            }),
        }
    }

    /// What clients have to bear; [`Trouble::default`] is nothing.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.shared.trouble.set(trouble);
    }

    pub fn trouble(&self) -> Trouble {
        self.shared.trouble.now()
    }

    /// From now on, or no longer, changes are refused as on a full disk. What was asked meanwhile is stored once there is room.
    pub fn fill_disk(&self, full: bool) {
        self.shared.state.lock().committer.fill_disk(full);
    }

    /// Holds a request back, and sends it away where it is one of those that fail.
    pub(crate) async fn meet_trouble(&self) -> Option<Response> {
        self.shared.trouble.meet().await
    }

    /// Runs a function on the engine and returns once what it changed is durable. Effects that it caused are started.
    ///
    /// # Errors
    /// When the change could not be stored.
    pub async fn with<R>(&self, run: impl FnOnce(&mut Engine, Timestamp) -> R) -> Result<R, StorageFailed> {
        self.commit(|state| run(&mut state.engine, clock::now())).await
    }

    /// Records the number of machines that the autoscaler set, within the pool's bounds, and returns it.
    ///
    /// # Errors
    /// The inner error when there is no such pool, the outer one when the change could not be stored.
    pub async fn set_pool_count(&self, pool_id: &str, count: u32) -> Result<Result<u32, Fault>, StorageFailed> {
        self.with(|engine, now| engine.set_pool_count(pool_id, count, now)).await
    }

    /// Its number grows with every durable change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    pub(crate) async fn handle(&self, request: &Request) -> Result<Response, StorageFailed> {
        self.commit(|state| state.engine.handle(request, clock::now(), &mut state.ids)).await
    }

    /// Answers a request to the directory.
    pub(crate) async fn directory(&self, request: &Request) -> Result<Response, StorageFailed> {
        self.commit(|state| state.engine.directory(request, clock::now(), &mut state.ids)).await
    }

    /// What an application may sign in with now.
    pub(crate) fn sign_in_of(&self, app_id: &str) -> Option<arm_engine::SignIn> {
        self.shared.state.lock().engine.sign_in_of(app_id, clock::now())
    }

    /// As [`EngineHandle::handle`], for a question about an operation: the answer is held back for a moment while the
    /// operation runs, so that clients which wait at least a second between two questions do not wait for work of milliseconds.
    pub(crate) async fn handle_poll(&self, request: &Request) -> Result<Response, StorageFailed> {
        let until = tokio::time::Instant::now() + HELD;
        let mut changes = self.subscribe();
        loop {
            changes.mark_unchanged();
            let response = self.handle(request).await?;
            let running = response.status == 202
                || response
                    .body
                    .as_ref()
                    .is_some_and(|body| body["status"] == "InProgress" || body["status"] == "Running");
            if !running {
                return Ok(response);
            }
            match tokio::time::timeout_at(until, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => return Ok(response),
            }
        }
    }

    /// Writes what is left and closes the store, so that another server can open it.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.with(|_, _| ()).await {
            tracing::error!(%error, "the last changes are not stored");
        }
        let writer = self.shared.state.lock().committer.close();
        if let Some(writer) = writer
            && tokio::task::spawn_blocking(|| writer.join()).await.is_err()
        {
            tracing::error!("the writer of the store ended badly");
        }
    }

    async fn commit<R>(&self, run: impl FnOnce(&mut State) -> R) -> Result<R, StorageFailed> {
        let (result, changed, effects, durable) = {
            let mut state = self.shared.state.lock();
            let result = run(&mut state);
            let changes = state.engine.take_changes();
            let stopping = *self.shared.stopped.borrow();
            let effects = if stopping { Vec::new() } else { state.engine.take_effects() };
            // Submitted under the lock, so that the order on disk is the order of the engine.
            (result, !changes.is_empty(), effects, state.committer.submit(changes))
        };
        let stored = match durable.await {
            Ok(stored) => stored.map_err(StorageFailed),
            Err(_) => Err(StorageFailed("its writer has stopped".to_owned())),
        };
        // Even when the disk is full the effects run: they were handed out, and they are idempotent.
        for (id, effect) in effects {
            self.spawn(id, effect);
        }
        if changed {
            self.shared.changes.send_modify(|number| *number += 1);
        }
        stored.map(|()| result)
    }

    fn spawn(&self, id: EffectId, effect: Effect) {
        let handle = self.clone();
        tokio::spawn(async move {
            let effects = handle.shared.effects.clone();
            let running = tokio::spawn(async move { effects.run(effect).await });
            let outcome = match running.await {
                Ok(outcome) => outcome,
                // The program is ending: the effect is handed out again at the next start.
                Err(error) if error.is_cancelled() => return,
                Err(error) => {
                    tracing::error!(%error, "an effect of the embedded ARM ended badly");
                    Outcome::Failed {
                        code: "InternalServerError".to_owned(),
                        message: "The operation ended unexpectedly.".to_owned(),
                    }
                }
            };
            handle.complete(id, outcome).await;
        });
    }

    async fn complete(&self, id: EffectId, outcome: Outcome) {
        // Boxed because completing one effect may start the next.
        let done: std::pin::Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(self.with(move |engine, now| engine.complete(id, outcome, now)));
        if let Err(error) = done.await {
            tracing::error!(%error, "the outcome of an effect is not stored yet");
        }
    }

    /// Advances what only waits for time.
    pub(crate) async fn run_timers(self, mut stopped: watch::Receiver<bool>) {
        let mut changes = self.subscribe();
        loop {
            let deadline = self.shared.state.lock().engine.next_deadline();
            let wait = deadline.map_or(Duration::from_secs(3600), |deadline| {
                Duration::from_millis(u64::try_from((deadline - clock::now()).0).unwrap_or(0).max(10))
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {
                    if let Err(error) = self.with(|engine, now| engine.tick(now)).await {
                        tracing::error!(%error, "a timed change is not stored");
                    }
                }
                _ = changes.changed() => {}
                _ = stopped.changed() => return,
            }
        }
    }
}
