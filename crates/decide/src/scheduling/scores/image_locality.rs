//! ImageLocality: nodes that hold the pod's images already, less so where few nodes do.

use super::{MAX, Score};
use crate::scheduling::cluster::{Cluster, NodeState, Symbol};
use crate::scheduling::view::PodView;

const MIB: i64 = 1024 * 1024;
const LOW: i64 = 23 * MIB;
const HIGH_PER_CONTAINER: i64 = 1000 * MIB;

struct State {
    /// The pod's images that some node holds, with their contribution.
    images: Vec<(Symbol, i64)>,
    high: i64,
}

pub(super) fn prepare<'a>(cluster: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    let nodes = cluster.nodes.len() as f64;
    let images = pod.images.iter().filter_map(|name| {
        let symbol = cluster.symbols.find(name)?;
        let state = cluster.images.get(&symbol)?;
        let spread = f64::from(state.nodes) / nodes;
        Some((symbol, (state.bytes as f64 * spread) as i64))
    });
    Some(Box::new(State { images: images.collect(), high: HIGH_PER_CONTAINER * pod.container_count }))
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        if self.images.is_empty() || self.high <= LOW {
            return 0;
        }
        let held = |symbol: &Symbol| node.images.binary_search(symbol).is_ok();
        let held = self.images.iter().filter(|(symbol, _)| held(symbol));
        let sum = held.fold(0_i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        MAX * (sum.clamp(LOW, self.high) - LOW) / (self.high - LOW)
    }
}
