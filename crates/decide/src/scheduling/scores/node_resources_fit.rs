//! NodeResourcesFit with LeastAllocated: the emptier the node would be, the better.

use super::{MAX, Score};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::PodView;

struct State {
    cpu: i64,
    memory: i64,
}

pub(super) fn prepare<'a>(_: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    Some(Box::new(State { cpu: pod.nonzero_cpu.0, memory: pod.nonzero_memory.0 }))
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        let (have, used) = (&node.allocatable, (node.nonzero_cpu, node.nonzero_memory));
        let (mut total, mut weights) = (0, 0);
        for (wanted, capacity) in
            [(used.0.saturating_add(self.cpu), have.cpu), (used.1.saturating_add(self.memory), have.memory)]
        {
            if capacity != 0 {
                total += if wanted > capacity { 0 } else { share(capacity, wanted) };
                weights += 1;
            }
        }
        if weights == 0 { 0 } else { total / weights }
    }
}

/// The free share of the capacity, of `MAX`. In wider integers than upstream's, which wrap where amounts make no sense.
fn share(capacity: i64, wanted: i64) -> i64 {
    let share = (i128::from(capacity) - i128::from(wanted)) * i128::from(MAX) / i128::from(capacity);
    i64::try_from(share).unwrap_or(0)
}
