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
        for (wanted, capacity) in [(used.0 + self.cpu, have.cpu), (used.1 + self.memory, have.memory)] {
            if capacity != 0 {
                total += if wanted > capacity { 0 } else { (capacity - wanted) * MAX / capacity };
                weights += 1;
            }
        }
        if weights == 0 { 0 } else { total / weights }
    }
}
