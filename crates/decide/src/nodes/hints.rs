//! Where pods were put in thought in the last loop, so that they are put there again.
//!
//! After `simulator/scheduling/hints.go` of cluster-autoscaler 1.36.1. Without them the nodes without need would change
//! from loop to loop, and their time with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use units::Timestamp;

use crate::scheduling::view::PodView;

/// Kept for one loop in which they are not used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Hints {
    /// By a number made of the pod's name: looked up for every pod of every node without need, in every loop.
    known: BTreeMap<u64, Vec<Hint>>,
    /// The present loop.
    turn: u64,
    /// How many are there, were set in this loop and in the one before.
    count: usize,
    current: usize,
    old: usize,
    /// In this loop one was set that was not there, or another one.
    changed: bool,
}

#[derive(Clone, Debug)]
struct Hint {
    namespace: String,
    name: String,
    /// Tells a pod from one that came later under the same name.
    created: Timestamp,
    node: String,
    /// Where the node was found, probably still true.
    place: usize,
    /// The loop in which it was last set.
    turn: u64,
}

impl Hint {
    fn is_of(&self, pod: &PodView) -> bool {
        self.created == pod.created && self.name == pod.name && self.namespace == pod.namespace
    }
}

/// FNV-1a.
fn number(namespace: &str, name: &str, created: Timestamp) -> u64 {
    let bytes = name.bytes().chain(namespace.bytes()).chain(created.0.to_le_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Hints {
    /// Where the pod was put in this loop or the one before, and at which place that node was.
    pub(super) fn get(&self, pod: &PodView) -> Option<(&str, usize)> {
        let alike = self.known.get(&number(&pod.namespace, &pod.name, pod.created))?;
        let hint = alike.iter().find(|hint| hint.is_of(pod) && hint.turn + 1 >= self.turn)?;
        Some((&hint.node, hint.place))
    }

    pub(super) fn set(&mut self, pod: &PodView, node: &str, place: usize) {
        let alike = self.known.entry(number(&pod.namespace, &pod.name, pod.created)).or_default();
        let turn = self.turn;
        if let Some(hint) = alike.iter_mut().find(|hint| hint.is_of(pod)) {
            self.changed |= hint.node != node || hint.turn + 1 < turn;
            self.current += usize::from(hint.turn != turn);
            if hint.node != node {
                node.clone_into(&mut hint.node);
            }
            (hint.place, hint.turn) = (place, turn);
            return;
        }
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        alike.push(Hint { namespace, name, created: pod.created, node: node.to_owned(), place, turn });
        self.changed = true;
        self.current += 1;
        self.count += 1;
    }

    /// The end of a loop: what was set in it is all that the next one knows.
    pub(super) fn drop_old(&mut self) {
        self.changed |= self.current != self.old;
        self.old = std::mem::take(&mut self.current);
        self.turn += 1;
        if self.count > 2 * self.old {
            let turn = self.turn;
            self.known.retain(|_, alike| {
                alike.retain(|hint| hint.turn + 1 >= turn);
                !alike.is_empty()
            });
            self.count = self.known.values().map(Vec::len).sum();
        }
    }

    /// Whether the loops since the last call left everything as it was.
    pub(super) fn settle(&mut self) -> bool {
        !std::mem::take(&mut self.changed)
    }

    /// What is not of the written form names no pod.
    fn read(&mut self, written: &BTreeMap<String, String>) {
        for (key, node) in written {
            let parts = key.split_once('/').and_then(|(namespace, rest)| {
                let (name, created) = rest.rsplit_once('@')?;
                Some((namespace.to_owned(), name.to_owned(), Timestamp(created.parse().ok()?)))
            });
            let Some((namespace, name, created)) = parts else { continue };
            self.set(&PodView { namespace, name, created, ..PodView::default() }, node, 0);
        }
    }

    fn set_in(&self, turn: Option<u64>) -> BTreeMap<String, String> {
        let hints = self.known.values().flatten().filter(|hint| Some(hint.turn) == turn);
        hints.map(|hint| (format!("{}/{}@{}", hint.namespace, hint.name, hint.created.0), hint.node.clone())).collect()
    }
}

/// As it is written down: by `<namespace>/<name>@<created>`, the name of the node.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    current: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    old: BTreeMap<String, String>,
}

impl From<Hints> for Stored {
    fn from(hints: Hints) -> Stored {
        Stored { current: hints.set_in(Some(hints.turn)), old: hints.set_in(hints.turn.checked_sub(1)) }
    }
}

impl From<Stored> for Hints {
    fn from(stored: Stored) -> Hints {
        let mut hints = Hints::default();
        hints.read(&stored.old);
        hints.old = std::mem::take(&mut hints.current);
        hints.turn = 1;
        hints.read(&stored.current);
        hints.changed = false;
        hints
    }
}

impl PartialEq for Hints {
    fn eq(&self, other: &Hints) -> bool {
        Stored::from(self.clone()) == Stored::from(other.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, created: i64) -> PodView {
        PodView { namespace: "d".into(), name: name.into(), created: Timestamp(created), ..PodView::default() }
    }

    #[test]
    fn a_hint_lasts_through_one_loop_in_which_it_is_not_used() {
        let mut hints = Hints::default();
        let (web, other) = (pod("web", 1), pod("other", 1));
        hints.set(&web, "n1", 3);
        assert_eq!(hints.get(&web), Some(("n1", 3)));
        assert_eq!(hints.get(&other), None);
        assert_eq!(hints.get(&pod("web", 2)), None, "a later pod of the same name is another one");
        assert_eq!(hints.get(&PodView { namespace: "e".into(), ..web.clone() }), None);
        hints.drop_old();
        assert_eq!(hints.get(&web), Some(("n1", 3)));
        hints.drop_old();
        assert_eq!(hints.get(&web), None);
        hints.set(&web, "n2", 0);
        assert_eq!(hints.get(&web), Some(("n2", 0)));
    }

    #[test]
    fn pods_that_share_a_number_are_told_apart() {
        let mut hints = Hints::default();
        let one = PodView { namespace: "1d".into(), ..pod("web", 1) };
        let other = pod("web1", 1);
        assert_eq!(
            number(&one.namespace, &one.name, one.created),
            number(&other.namespace, &other.name, other.created)
        );
        assert_ne!(number("d", "web", Timestamp(1)), number("d", "web", Timestamp(2)));
        assert_ne!(number("d", "web", Timestamp(1)), number("d", "other", Timestamp(1)));
        hints.set(&one, "n1", 0);
        assert_eq!(hints.get(&other), None);
        hints.set(&other, "n2", 0);
        assert_eq!((hints.get(&one), hints.get(&other)), (Some(("n1", 0)), Some(("n2", 0))));
    }

    /// Sets the hints of a loop and ends it; whether all is as the loop before left it.
    fn settles(hints: &mut Hints, placed: &[(&str, &str)]) -> bool {
        for (name, node) in placed {
            hints.set(&pod(name, 1), node, 0);
        }
        hints.drop_old();
        hints.settle()
    }

    #[test]
    fn hints_are_settled_when_a_loop_repeats_the_one_before() {
        let mut hints = Hints::default();
        assert!(!settles(&mut hints, &[("a", "n1"), ("b", "n1")]));
        assert!(settles(&mut hints, &[("a", "n1"), ("b", "n1")]));
        assert!(settles(&mut hints, &[("b", "n1"), ("a", "n1"), ("a", "n1")]), "neither order nor repetition counts");
        assert!(!settles(&mut hints, &[("a", "n2"), ("b", "n1")]), "another node");
        assert!(!settles(&mut hints, &[("a", "n2")]), "one is gone");
        assert!(settles(&mut hints, &[("a", "n2")]));
        assert!(!settles(&mut hints, &[("a", "n2"), ("b", "n1")]), "one is back after a loop");
        assert!(settles(&mut hints, &[("a", "n2"), ("b", "n1")]));
        assert!(!settles(&mut hints, &[]));
        assert!(settles(&mut hints, &[]));
    }

    #[test]
    fn hints_that_nobody_uses_are_dropped_when_they_outnumber_the_others() {
        let mut hints = Hints::default();
        let held = |hints: &Hints| hints.known.values().map(Vec::len).sum::<usize>();
        let names: Vec<String> = (0..5).map(|number| format!("p{number}")).collect();
        let placed: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "n")).collect();
        settles(&mut hints, &placed);
        assert_eq!((hints.count, held(&hints)), (5, 5));
        settles(&mut hints, &placed[..3]);
        assert_eq!((hints.count, held(&hints)), (5, 5), "two of five are no reason to look at all");
        settles(&mut hints, &placed[..2]);
        assert_eq!((hints.count, held(&hints)), (2, 2), "those of this loop stay");
        settles(&mut hints, &placed[..1]);
        assert_eq!((hints.count, held(&hints)), (2, 2), "one of two may be on its way back");
        settles(&mut hints, &[]);
        assert_eq!((hints.count, held(&hints)), (0, 0));
        assert!(hints.known.is_empty());
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let mut hints = Hints::default();
        hints.set(&pod("old", 1), "n1", 0);
        hints.set(&pod("kept", 1), "n1", 0);
        hints.drop_old();
        hints.set(&pod("kept", 1), "n2", 0);
        let written = serde_json::to_value(hints.clone()).unwrap();
        assert_eq!(written, serde_json::json!({"current": {"d/kept@1": "n2"}, "old": {"d/old@1": "n1"}}));
        let read: Hints = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((read.get(&pod("old", 1)), read.get(&pod("kept", 1))), (Some(("n1", 0)), Some(("n2", 0))));
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }
}
