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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_and_nothing_is_said_of_nothing() {
        for (count, last) in [(MOST, "reason 49"), (MOST + 1, "1 more reasons"), (MOST + 7, "7 more reasons")] {
            let mut reasons = Reasons::default();
            (0..count).for_each(|number| reasons.push(Reason::new("nodes.upcoming", format!("reason {number}"))));
            let told = reasons.finish();
            assert_eq!((told.len(), told[told.len() - 1].text.as_str()), (count.min(MOST + 1), last));
        }
    }
}
