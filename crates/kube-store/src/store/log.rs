//! The bounded history of one resource.

use std::collections::VecDeque;

use super::Change;

#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Every change after this revision is in `changes`.
    floor: u64,
    capacity: usize,
    changes: VecDeque<Change>,
}

impl Log {
    pub(super) fn new(floor: u64, capacity: usize) -> Log {
        Log { floor, capacity, changes: VecDeque::new() }
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        self.trim();
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.trim();
    }

    pub(super) fn since(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Change> + use<'_> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }

    fn trim(&mut self) {
        while self.changes.len() > self.capacity {
            if let Some(gone) = self.changes.pop_front() {
                self.floor = gone.revision;
            }
        }
    }
}
