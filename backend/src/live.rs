//! The current view, its recent changes, and everybody who follows them.

use crate::view;
use backend_api::stream::{Changes, Snapshot};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::broadcast;

/// Batches that a returning client can catch up with; at most a few a second, so about a minute.
const REMEMBERED: usize = 256;

/// One batch of changes, serialised once for all who follow.
#[derive(Debug)]
pub struct Batch {
    pub revision: u64,
    pub json: String,
}

/// What a client gets first.
#[derive(Debug)]
pub enum Start {
    Snapshot(Arc<Snapshot>),
    Missed(Vec<Arc<Batch>>),
}

pub struct Live {
    /// Names this run of this replica in event ids: revisions of others mean nothing here.
    epoch: String,
    state: Mutex<State>,
}

struct State {
    current: Arc<Snapshot>,
    history: VecDeque<Arc<Batch>>,
    sender: broadcast::Sender<Arc<Batch>>,
}

impl Live {
    pub fn new(replica: &str) -> Live {
        let state =
            State { current: Arc::default(), history: VecDeque::new(), sender: broadcast::Sender::new(REMEMBERED) };
        Live { epoch: format!("{replica}-{}", uuid::Uuid::new_v4().simple()), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.state().current.clone()
    }

    /// True once the cluster has been read.
    pub fn is_filled(&self) -> bool {
        self.state().current.revision > 0
    }

    /// Makes `next` the current view, under a revision of its own, and tells everybody what changed; does nothing when
    /// nothing did.
    pub fn publish(&self, mut next: Snapshot) {
        let mut state = self.state();
        let changes = view::diff::changes(&state.current, &next);
        if changes.is_empty() && state.current.revision > 0 {
            return;
        }
        next.revision = state.current.revision + 1;
        let json = match serde_json::to_string(&Changes { revision: next.revision, changes }) {
            Ok(json) => json,
            Err(error) => return tracing::error!(%error, "changes cannot be serialised"),
        };
        let batch = Arc::new(Batch { revision: next.revision, json });
        if state.history.len() == REMEMBERED {
            state.history.pop_front();
        }
        state.history.push_back(batch.clone());
        state.current = Arc::new(next);
        // Nobody listening is fine.
        let _ = state.sender.send(batch);
    }

    pub fn event_id(&self, revision: u64) -> String {
        format!("{}.{revision}", self.epoch)
    }

    /// Where a client starts and what it follows from there; nothing falls between the two.
    pub fn follow(&self, last_event_id: Option<&str>) -> (Start, broadcast::Receiver<Arc<Batch>>) {
        let state = self.state();
        let start = match last_event_id.and_then(|id| self.missed_since(&state, id)) {
            Some(missed) => Start::Missed(missed),
            None => Start::Snapshot(state.current.clone()),
        };
        (start, state.sender.subscribe())
    }

    fn missed_since(&self, state: &State, id: &str) -> Option<Vec<Arc<Batch>>> {
        let revision: u64 = id.strip_prefix(&self.epoch)?.strip_prefix('.')?.parse().ok()?;
        let missed: Vec<_> = state.history.iter().filter(|batch| batch.revision > revision).cloned().collect();
        let complete =
            revision == state.current.revision || missed.first().is_some_and(|batch| batch.revision == revision + 1);
        complete.then_some(missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backend_api::cluster::Cluster;

    fn named(name: &str) -> Snapshot {
        Snapshot { cluster: Cluster { name: name.to_owned(), ..Cluster::default() }, ..Snapshot::default() }
    }

    #[test]
    fn a_client_that_comes_back_gets_what_it_missed() {
        let live = Live::new("a");
        live.publish(named("one"));
        let id = live.event_id(live.current().revision);
        live.publish(named("two"));
        live.publish(named("two"));
        live.publish(named("three"));
        let (Start::Missed(missed), _) = live.follow(Some(&id)) else {
            panic!("a snapshot instead of what was missed")
        };
        assert_eq!(missed.iter().map(|batch| batch.revision).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_client_of_another_replica_or_from_long_ago_gets_a_snapshot() {
        let (live, other) = (Live::new("a"), Live::new("a"));
        for n in 0..=REMEMBERED + 1 {
            live.publish(named(&n.to_string()));
        }
        for id in [other.event_id(1), live.event_id(1), live.event_id(99_999), "nonsense".to_owned()] {
            assert!(matches!(live.follow(Some(&id)).0, Start::Snapshot(_)), "{id}");
        }
    }
}
