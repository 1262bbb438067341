//! Which pod is next: priority order, back-off after failures, and the events that bring a pod back.
//!
//! After `pkg/scheduler/backend/queue` v1.36.3. Hints are coarse: an event brings back every pod that a filter rejected
//! which the event concerns, where upstream also looks at the objects.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use units::{Millis, Timestamp};

use super::view::{PodKey, PodView};

const FIRST_BACKOFF: Millis = Millis::from_secs(1);
const LONGEST_BACKOFF: Millis = Millis::from_secs(10);
/// Back-off ends at whole seconds, so that pods whose back-off ends together are tried by priority.
const BACKOFF_WINDOW: i64 = 1000;
/// After this long, a pod is tried again even though nothing happened that concerns it.
const LONGEST_WAIT: Millis = Millis::from_secs(5 * 60);

/// Something in the cluster that may let a pod fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    NodeAdded,
    /// Labels, taints, allocatable or `unschedulable` of a node changed.
    NodeChanged,
    NodeRemoved,
    /// A pod was bound, or the labels of a bound pod changed.
    PodBound,
    /// A bound pod ended or was deleted, or asks for less.
    PodGone,
    /// A claim, volume, storage class or CSI node came or changed.
    StorageChanged,
}

const EVENTS: usize = 6;

impl Event {
    /// Whether a pod that this filter rejected may fit now, as the filters' `EventsToRegister` say.
    fn concerns(self, filter: &str) -> bool {
        use Event::{NodeAdded, NodeChanged, NodeRemoved, PodBound, PodGone, StorageChanged};
        match filter {
            "NodeResourcesFit" => matches!(self, NodeAdded | NodeChanged | PodGone),
            "NodePorts" => matches!(self, NodeAdded | PodGone),
            "NodeUnschedulable" | "NodeName" | "TaintToleration" | "NodeAffinity" => {
                matches!(self, NodeAdded | NodeChanged)
            }
            "PodTopologySpread" => matches!(self, NodeAdded | NodeChanged | NodeRemoved | PodBound | PodGone),
            "InterPodAffinity" => matches!(self, NodeAdded | NodeChanged | PodBound | PodGone),
            "VolumeRestrictions" | "NodeVolumeLimits" => matches!(self, NodeAdded | PodGone | StorageChanged),
            "VolumeBinding" | "VolumeZone" => matches!(self, NodeAdded | NodeChanged | StorageChanged),
            // Preemption or a filter without a list of its own: anything may help.
            _ => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Active,
    BackingOff(Timestamp),
    Unschedulable(Timestamp),
    Gated,
    /// Taken by `pop`, with the number of events seen until then.
    InFlight(u64),
}

#[derive(Clone, Debug)]
struct Entry {
    pod: Arc<PodView>,
    priority: i32,
    /// When it entered the queue; the older of two pods of equal priority goes first.
    queued: Timestamp,
    order: u64,
    failures: u32,
    filters: Arc<[String]>,
    state: State,
}

type Rank = (Reverse<i32>, Timestamp, u64);

/// The pods that wait for a node. Time comes in with every call; [`Queue::next_deadline`] says when to look again.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// By [`Entry::order`].
    entries: BTreeMap<u64, Entry>,
    orders_of: BTreeMap<PodKey, u64>,
    active: BTreeSet<Rank>,
    backing_off: BTreeSet<(Timestamp, Rank)>,
    /// Since when, and the order.
    unschedulable: BTreeSet<(Timestamp, u64)>,
    /// What rejected them, and how many of them.
    rejected_by: BTreeMap<Arc<[String]>, usize>,
    orders: u64,
    events: u64,
    /// By event: the number of the last of its kind.
    last: [u64; EVENTS],
}

impl Queue {
    pub fn new() -> Queue {
        Queue::default()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Pods that could be taken now.
    pub fn ready(&self) -> usize {
        self.active.len()
    }

    /// A pod waits for a node, or one that waits was changed; a change of a pod that did not fit makes it worth another
    /// try. `priority` is [`super::Cluster::priority`].
    pub fn upsert(&mut self, pod: impl Into<Arc<PodView>>, priority: i32, now: Timestamp) {
        let pod = pod.into();
        let key = pod.key();
        let gated = !pod.gates.is_empty();
        let Some(order) = self.orders_of.get(&key).copied() else {
            self.orders += 1;
            let entry = Entry {
                pod,
                priority,
                queued: now,
                order: self.orders,
                failures: 0,
                filters: Arc::default(),
                state: State::Gated,
            };
            self.entries.insert(self.orders, entry);
            self.orders_of.insert(key, self.orders);
            if !gated {
                self.enter(self.orders, State::Active);
            }
            return;
        };
        self.leave(order);
        let entry = self.entries.get_mut(&order).expect("every pod that is known has an entry");
        let state = entry.state.clone();
        let changed = is_changed(&entry.pod, &pod);
        (entry.pod, entry.priority) = (pod, priority);
        let next = match state {
            State::InFlight(_) => state,
            _ if gated => State::Gated,
            State::Gated => State::Active,
            State::Unschedulable(_) if changed => self.after_backoff(order, now),
            other => other,
        };
        self.enter(order, next);
    }

    /// The pod is bound, gone, or nobody's business any more.
    pub fn remove(&mut self, namespace: &str, name: &str) {
        let key = PodKey::new(namespace, name);
        if let Some(order) = self.orders_of.remove(&key) {
            self.leave(order);
            self.entries.remove(&order);
        }
    }

    /// Takes the next pod to schedule. `failed`, `errored` or `remove` must follow.
    ///
    /// Where no other pod is ready, one that still backs off is taken (`SchedulerPopFromBackoffQ`, on since 1.33): back-off
    /// only serves those who would be kept waiting.
    pub fn pop(&mut self, now: Timestamp) -> Option<Arc<PodView>> {
        self.advance(now);
        let order = match self.active.first() {
            Some((.., order)) => *order,
            None => {
                let retried = |order: &u64| !self.entries[order].filters.is_empty();
                self.backing_off.iter().map(|(_, (.., order))| *order).find(retried)?
            }
        };
        self.leave(order);
        let entry = self.entries.get_mut(&order)?;
        entry.state = State::InFlight(self.events);
        Some(Arc::clone(&entry.pod))
    }

    /// No node fits; `filters` are those of [`super::Placement::Unschedulable`]. The pod waits for an event that concerns
    /// one of them, or, where one happened since it was taken, only for its back-off.
    pub fn failed(&mut self, key: &PodKey, filters: impl Into<Arc<[String]>>, now: Timestamp) {
        let filters = filters.into();
        let Some(order) = self.orders_of.get(key).copied() else { return };
        let Some(entry) = self.entries.get_mut(&order) else { return };
        let State::InFlight(seen) = entry.state else { return };
        entry.failures += 1;
        entry.queued = now;
        entry.filters = if filters.is_empty() { ["DefaultPreemption".to_owned()].into() } else { filters };
        let missed = ALL.iter().any(|event| self.last[*event as usize] > seen && concerns(*event, &entry.filters));
        let next = if missed { self.after_backoff(order, now) } else { State::Unschedulable(now) };
        self.enter(order, next);
    }

    /// Something went wrong beside the decision, a refused binding for instance: the pod is tried again after its
    /// back-off.
    pub fn errored(&mut self, key: &PodKey, now: Timestamp) {
        let Some(order) = self.orders_of.get(key).copied() else { return };
        let Some(entry) = self.entries.get_mut(&order) else { return };
        entry.failures += 1;
        entry.queued = now;
        entry.filters = Arc::default();
        let next = self.after_backoff(order, now);
        self.enter(order, next);
    }

    /// Brings back the pods that may fit now.
    pub fn on_event(&mut self, event: Event, now: Timestamp) {
        self.events += 1;
        self.last[event as usize] = self.events;
        if !self.rejected_by.keys().any(|filters| concerns(event, filters)) {
            return;
        }
        let concerned: Vec<u64> = self
            .unschedulable
            .iter()
            .map(|(_, order)| *order)
            .filter(|order| concerns(event, &self.entries[order].filters))
            .collect();
        for order in concerned {
            self.leave(order);
            let next = self.after_backoff(order, now);
            self.enter(order, next);
        }
    }

    /// When `pop` may have something that it has not now; `None`: only an event or a new pod can bring something.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if let Some((_, queued, _)) = self.active.first() {
            return Some(*queued);
        }
        let backoff = self.backing_off.first().map(|(until, _)| *until);
        let flush = self.unschedulable.first().map(|(since, _)| *since + LONGEST_WAIT);
        backoff.into_iter().chain(flush).min()
    }

    fn advance(&mut self, now: Timestamp) {
        while let Some((until, (.., order))) = self.backing_off.first().copied() {
            if until > now {
                break;
            }
            self.leave(order);
            self.enter(order, State::Active);
        }
        while let Some((since, order)) = self.unschedulable.first().copied() {
            if since + LONGEST_WAIT > now {
                break;
            }
            self.leave(order);
            let next = self.after_backoff(order, now);
            self.enter(order, next);
        }
    }

    fn after_backoff(&self, order: u64, now: Timestamp) -> State {
        let entry = &self.entries[&order];
        if entry.failures == 0 {
            return State::Active;
        }
        let doubled = FIRST_BACKOFF.0 << (entry.failures - 1).min(10);
        let until = entry.queued + Millis(doubled.min(LONGEST_BACKOFF.0));
        let until = Timestamp(until.0.div_euclid(BACKOFF_WINDOW) * BACKOFF_WINDOW);
        if until > now { State::BackingOff(until) } else { State::Active }
    }

    fn rank(entry: &Entry) -> Rank {
        (Reverse(entry.priority), entry.queued, entry.order)
    }

    fn enter(&mut self, order: u64, state: State) {
        let entry = self.entries.get_mut(&order).expect("only known pods change place");
        entry.state = state;
        let rank = Queue::rank(entry);
        match entry.state {
            State::Active => drop(self.active.insert(rank)),
            State::BackingOff(until) => drop(self.backing_off.insert((until, rank))),
            State::Unschedulable(since) => {
                match self.rejected_by.get_mut(&entry.filters) {
                    Some(count) => *count += 1,
                    None => drop(self.rejected_by.insert(Arc::clone(&entry.filters), 1)),
                }
                self.unschedulable.insert((since, order));
            }
            State::Gated | State::InFlight(_) => {}
        }
    }

    fn leave(&mut self, order: u64) {
        let entry = &self.entries[&order];
        let rank = Queue::rank(entry);
        match entry.state {
            State::Active => drop(self.active.remove(&rank)),
            State::BackingOff(until) => drop(self.backing_off.remove(&(until, rank))),
            State::Unschedulable(since) => {
                if let Some(count) = self.rejected_by.get_mut(&entry.filters) {
                    *count -= 1;
                    if *count == 0 {
                        self.rejected_by.remove(&entry.filters);
                    }
                }
                self.unschedulable.remove(&(since, order));
            }
            State::Gated | State::InFlight(_) => {}
        }
    }
}

const ALL: [Event; EVENTS] =
    [Event::NodeAdded, Event::NodeChanged, Event::NodeRemoved, Event::PodBound, Event::PodGone, Event::StorageChanged];

fn concerns(event: Event, filters: &[String]) -> bool {
    filters.iter().any(|filter| event.concerns(filter))
}

/// Whether a change of the pod itself may make it fit: what the scheduler writes into its status does not.
fn is_changed(old: &PodView, new: &PodView) -> bool {
    old.labels != new.labels
        || old.requests != new.requests
        || old.tolerations != new.tolerations
        || old.node_selector != new.node_selector
        || old.node_affinity != new.node_affinity
        || old.gates != new.gates
        || old.priority != new.priority
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> PodView {
        PodView { namespace: "d".into(), name: name.into(), ..PodView::default() }
    }

    fn key(name: &str) -> PodKey {
        PodKey::new("d", name)
    }

    fn check(queue: &mut Queue, now: i64, expected: &[&str]) {
        let mut names = Vec::new();
        while let Some(pod) = queue.pop(Timestamp(now)) {
            names.push(pod.name.clone());
        }
        assert_eq!(names, expected, "at {now} ms");
    }

    fn cpu() -> Vec<String> {
        vec!["NodeResourcesFit".to_owned()]
    }

    #[test]
    fn the_important_go_first_then_the_old() {
        let mut queue = Queue::new();
        for (name, priority, at) in [("young", 0, 2), ("old", 0, 1), ("important", 9, 3)] {
            queue.upsert(pod(name), priority, Timestamp(at));
        }
        check(&mut queue, 10, &["important", "old", "young"]);
    }

    #[test]
    fn a_pod_that_does_not_fit_waits_for_an_event_that_concerns_it() {
        let mut queue = Queue::new();
        queue.upsert(pod("a"), 0, Timestamp(0));
        check(&mut queue, 0, &["a"]);
        queue.failed(&key("a"), cpu(), Timestamp(0));
        queue.on_event(Event::StorageChanged, Timestamp(500));
        check(&mut queue, 20_000, &[]);
        assert_eq!(queue.next_deadline(), Some(Timestamp(300_000)));
        queue.on_event(Event::NodeAdded, Timestamp(20_000));
        check(&mut queue, 20_000, &["a"]);
    }

    #[test]
    fn backoff_doubles_up_to_ten_seconds_and_holds_while_others_are_ready() {
        let mut queue = Queue::new();
        queue.upsert(pod("a"), 0, Timestamp(0));
        let mut now = 0;
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(queue.pop(Timestamp(now)).map(|p| p.name.clone()).as_deref(), Some("a"));
            queue.failed(&key("a"), cpu(), Timestamp(now));
            queue.on_event(Event::PodGone, Timestamp(now));
            assert_eq!(queue.next_deadline(), Some(Timestamp(now + wait * 1000)));
            now += wait * 1000;
        }
        queue.upsert(pod("b"), -1, Timestamp(now));
        assert_eq!(queue.pop(Timestamp(now - 500)).map(|p| p.name.clone()).as_deref(), Some("b"));
        check(&mut queue, now - 500, &["a"]);
    }

    #[test]
    fn an_event_during_the_attempt_is_not_lost() {
        let mut queue = Queue::new();
        queue.upsert(pod("a"), 0, Timestamp(0));
        check(&mut queue, 0, &["a"]);
        queue.on_event(Event::NodeAdded, Timestamp(0));
        queue.failed(&key("a"), cpu(), Timestamp(0));
        assert_eq!(queue.next_deadline(), Some(Timestamp(1000)));
    }

    #[test]
    fn after_five_minutes_a_pod_is_tried_anyway() {
        let mut queue = Queue::new();
        queue.upsert(pod("a"), 0, Timestamp(0));
        check(&mut queue, 0, &["a"]);
        queue.failed(&key("a"), cpu(), Timestamp(0));
        check(&mut queue, 299_999, &[]);
        check(&mut queue, 300_000, &["a"]);
    }

    #[test]
    fn a_change_of_the_pod_itself_is_worth_another_try() {
        use crate::scheduling::view::Toleration;
        let deadline = |change: fn(&mut PodView)| {
            let mut queue = Queue::new();
            queue.upsert(pod("a"), 0, Timestamp(0));
            check(&mut queue, 0, &["a"]);
            queue.failed(&key("a"), cpu(), Timestamp(0));
            let mut changed = pod("a");
            change(&mut changed);
            queue.upsert(changed, 0, Timestamp(0));
            queue.next_deadline()
        };
        let changes: [fn(&mut PodView); 6] = [
            |pod| drop(pod.labels.insert("a".into(), "b".into())),
            |pod| pod.requests.cpu = units::Millicores(1),
            |pod| pod.tolerations.push(Toleration::default()),
            |pod| drop(pod.node_selector.insert("a".into(), "b".into())),
            |pod| pod.node_affinity = Some(Vec::new()),
            |pod| pod.priority = Some(1),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_eq!(deadline(change), Some(Timestamp(1000)), "change {index}");
        }
        // What the scheduler itself writes, and annotations.
        assert_eq!(deadline(|pod| pod.nominated_node = Some("n".into())), Some(Timestamp(300_000)));
        assert_eq!(deadline(|pod| pod.unschedulable_since = Some(Timestamp(0))), Some(Timestamp(300_000)));
        assert_eq!(deadline(|pod| drop(pod.annotations.insert("a".into(), "b".into()))), Some(Timestamp(300_000)));
    }

    #[test]
    fn gates_hold_a_pod_until_they_go() {
        let mut queue = Queue::new();
        queue.upsert(PodView { gates: vec!["wait".into()], ..pod("a") }, 0, Timestamp(0));
        check(&mut queue, 1, &[]);
        queue.upsert(pod("a"), 0, Timestamp(2));
        check(&mut queue, 3, &["a"]);
        queue.remove("d", "a");
        assert!(queue.is_empty());
    }
}
