//! NodeAffinity: the weights of the preferred terms that match.

use super::{Score, default_normalize};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::filters::NodeMatcher;
use crate::scheduling::view::PodView;

struct State(Vec<(i64, NodeMatcher)>);

pub(super) fn prepare<'a>(cluster: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    if pod.preferred_nodes.is_empty() {
        return None;
    }
    let terms = pod.preferred_nodes.iter().filter(|weighted| weighted.weight != 0 && !weighted.term.is_empty());
    let compiled = terms.map(|w| (i64::from(w.weight), NodeMatcher::of_term(&cluster.symbols, &w.term)));
    Some(Box::new(State(compiled.collect())))
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        self.0.iter().filter(|(_, matcher)| matcher.matches(node)).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, _: &[&NodeState], scores: &mut [i64]) {
        default_normalize(scores, false);
    }
}
