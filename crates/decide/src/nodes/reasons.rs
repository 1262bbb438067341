//! The reasons of one loop, cut where they become as many as nodes.

use crate::report::Reason;

/// In a large cluster the reasons why single nodes stay are as many as nodes, and every loop repeats them.
const MOST: usize = 50;

#[derive(Default)]
pub(super) struct Reasons {
    list: Vec<Reason>,
    left_out: usize,
}

impl Reasons {
    pub(super) fn push(&mut self, reason: Reason) {
        self.push_with(|| reason);
    }

    /// Does not work the reason out where it would be left out.
    pub(super) fn push_with(&mut self, reason: impl FnOnce() -> Reason) {
        if self.list.len() < MOST {
            self.list.push(reason());
        } else {
            self.left_out += 1;
        }
    }

    /// Why a node stays.
    pub(super) fn stays(&mut self, node: &str, why: impl FnOnce() -> String) {
        let text = || format!("{node} stays: {}", why());
        self.push_with(|| Reason::new("nodes.scale-down.unremovable", text()).with("node", node));
    }

    pub(super) fn finish(mut self) -> Vec<Reason> {
        if self.left_out > 0 {
            self.list.push(Reason::new("nodes.more", format!("{} more reasons", self.left_out)));
        }
        self.list
    }
}
