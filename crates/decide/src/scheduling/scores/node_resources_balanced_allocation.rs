//! NodeResourcesBalancedAllocation: does the pod bring the node's CPU and memory closer together?
//!
//! Since 1.35 the score compares the balance with the pod to the balance without it.

use super::{MAX, Score};
use crate::scheduling::cluster::{Cluster, NodeState};
use crate::scheduling::view::PodView;

struct State {
    cpu: i64,
    memory: i64,
}

pub(super) fn prepare<'a>(_: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    let state = State { cpu: pod.requests.cpu.0, memory: pod.requests.memory.0 };
    if state.cpu == 0 && state.memory == 0 {
        return None;
    }
    Some(Box::new(state))
}

/// As `balancedResourceScore` of noderesources/balanced_allocation.go v1.36.3 for the two default resources, truncated
/// like its conversion to an integer.
fn balance(requested: [i64; 2], allocatable: [i64; 2]) -> i64 {
    let fraction = |i: usize| (requested[i] as f64 / allocatable[i] as f64).min(1.0);
    let deviation = match (allocatable[0] != 0, allocatable[1] != 0) {
        (true, true) => ((fraction(0) - fraction(1)) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX as f64) as i64
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        let allocatable = [node.allocatable.cpu, node.allocatable.memory];
        let without = [node.requested.cpu, node.requested.memory];
        let with = [without[0].saturating_add(self.cpu), without[1].saturating_add(self.memory)];
        MAX / 2 + (MAX / 2 + balance(with, allocatable) - balance(without, allocatable)) / 2
    }
}
