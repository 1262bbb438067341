//! What is going to happen, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::{InstanceId, PodId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An instance becomes a ready node.
    Booted(InstanceId),
    /// A pod's containers run.
    Started(PodId),
    Ready(PodId),
    /// The ingress sends requests to it.
    Serving(PodId),
    /// The ingress does so no more.
    Left(PodId),
    /// A pod that was deleted is gone.
    Gone(PodId),
    /// A pod may be worth another attempt to schedule it.
    Retry,
    /// An eviction may be allowed by now.
    Drain(InstanceId),
    /// The control plane notices that a node does not answer.
    Unreachable(InstanceId),
    /// Its pods are given up.
    Evicted(InstanceId),
    Fault(usize),
    FaultEnds(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: i64,
    /// Events of one instant happen in the order in which they were planned.
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

impl Events {
    pub(super) fn plan(&mut self, at: i64, event: Event) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at, number: self.count, event }));
    }

    pub(super) fn next_at(&self) -> Option<i64> {
        self.heap.peek().map(|entry| entry.0.at)
    }

    pub(super) fn pop(&mut self, now: i64) -> Option<Event> {
        (self.next_at()? <= now).then(|| self.heap.pop())?.map(|entry| entry.0.event)
    }
}
