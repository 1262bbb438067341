//! The dirty-key queue of one controller: a key is worked on by one worker at a time, at most once per burst of changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use units::Millis;

/// What a controller reconciles: an object's namespace (empty for cluster-scoped ones) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn cluster(name: impl Into<String>) -> Key {
        Key::new("", name)
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(self.namespace.as_str())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Upstream's work queues wait 5 ms after a first failure and twice as long after each further one
/// (client-go util/workqueue/default_rate_limiters.go). The cap is lower than upstream's 1000 s, because on one
/// machine nothing is spared by waiting a quarter of an hour.
const FIRST_RETRY: Millis = Millis(5);
const LAST_RETRY: Millis = Millis(30_000);

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    /// Exactly the keys in `ready`.
    queued: BTreeSet<Key>,
    running: BTreeSet<Key>,
    /// Dirty again while being worked on.
    again: BTreeSet<Key>,
    delayed: BTreeMap<Key, Instant>,
    deadlines: BTreeSet<(Instant, Key)>,
    failures: BTreeMap<Key, u32>,
}

impl State {
    fn enqueue(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Keeps the earlier of two deadlines of the same key.
    fn delay(&mut self, key: Key, deadline: Instant) {
        if let Some(&earlier) = self.delayed.get(&key) {
            if earlier <= deadline {
                return;
            }
            self.deadlines.remove(&(earlier, key.clone()));
        }
        self.delayed.insert(key.clone(), deadline);
        self.deadlines.insert((deadline, key));
    }

    fn promote(&mut self, now: Instant) {
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= now) {
            if let Some((_, key)) = self.deadlines.pop_first() {
                self.delayed.remove(&key);
                self.enqueue(key);
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    pub(crate) wake: Notify,
}

impl Queue {
    pub(crate) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.state.lock();
        let mut any = false;
        for key in keys {
            state.enqueue(key);
            any = true;
        }
        drop(state);
        if any {
            self.wake.notify_one();
        }
    }

    pub(crate) fn add_at(&self, key: Key, deadline: Instant) {
        self.state.lock().delay(key, deadline);
        self.wake.notify_one();
    }

    /// The next key to work on, marked as running.
    pub(crate) fn take(&self, now: Instant) -> Option<Key> {
        let mut state = self.state.lock();
        state.promote(now);
        let key = state.ready.pop_front()?;
        state.queued.remove(&key);
        state.running.insert(key.clone());
        Some(key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.state.lock().deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends the work on a key. A failed key is retried with growing delays; `requeue` asks for a later visit.
    pub(crate) fn done(&self, key: Key, failed: bool, requeue: Option<Millis>, now: Instant) {
        let mut state = self.state.lock();
        state.running.remove(&key);
        if failed {
            let failures = state.failures.entry(key.clone()).or_insert(0);
            let delay = retry_delay(*failures);
            *failures = failures.saturating_add(1);
            state.delay(key.clone(), now + delay);
        } else {
            state.failures.remove(&key);
            if let Some(span) = requeue {
                let delay = std::time::Duration::from_millis(u64::try_from(span.0).unwrap_or(0));
                state.delay(key.clone(), now + delay);
            }
        }
        if state.again.remove(&key) {
            state.enqueue(key);
        }
    }
}

fn retry_delay(failures: u32) -> std::time::Duration {
    let millis = FIRST_RETRY.0.saturating_mul(1_i64 << failures.min(20)).min(LAST_RETRY.0);
    std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    #[test]
    fn a_burst_of_changes_is_one_visit() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add([key("a"), key("b"), key("a")]);
        assert_eq!(queue.take(now), Some(key("a")));
        assert_eq!(queue.take(now), Some(key("b")));
        assert_eq!(queue.take(now), None);
    }

    #[test]
    fn a_key_is_never_worked_on_twice_at_once_and_no_change_is_lost() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add([key("a")]);
        assert_eq!(queue.take(now), Some(key("a")));
        queue.add([key("a")]);
        assert_eq!(queue.take(now), None);
        queue.done(key("a"), false, None, now);
        assert_eq!(queue.take(now), Some(key("a")));
    }

    #[test]
    fn failures_wait_longer_each_time_and_success_forgets_them() {
        let queue = Queue::default();
        let mut now = Instant::now();
        queue.add([key("a")]);
        for expected in [5, 10, 20] {
            assert_eq!(queue.take(now), Some(key("a")));
            queue.done(key("a"), true, None, now);
            now += std::time::Duration::from_millis(expected);
            assert_eq!(queue.next_deadline(), Some(now));
        }
        assert_eq!(queue.take(now), Some(key("a")));
        queue.done(key("a"), false, None, now);
        queue.add([key("a")]);
        queue.take(now);
        queue.done(key("a"), true, None, now);
        assert_eq!(queue.next_deadline(), Some(now + std::time::Duration::from_millis(5)));
    }

    #[test]
    fn the_earlier_of_two_delays_wins() {
        let queue = Queue::default();
        let now = Instant::now();
        let second = std::time::Duration::from_secs(1);
        queue.add_at(key("a"), now + second * 5);
        queue.add_at(key("a"), now + second);
        queue.add_at(key("a"), now + second * 9);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.take(now + second), Some(key("a")));
        assert_eq!(queue.next_deadline(), None);
    }
}
