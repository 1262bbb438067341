//! Which node a pod runs on: the default profile of Kubernetes 1.36, after `pkg/scheduler` v1.36.3.
//!
//! [`Cluster`] is kept current pod by pod; [`schedule`] decides for one pod and says why; [`queue::Queue`] says which
//! pod is next. Ties are broken by [`TieBreak`], so that the same inputs give the same decision.

mod attempt;
mod cluster;
mod filters;
mod outcome;
mod preemption;
pub mod queue;
mod scores;
mod tie_break;
pub mod view;

use serde::{Deserialize, Serialize};

pub use attempt::{Attempt, fits, place, schedule, try_place};
pub(crate) use attempt::{first_fit, first_fit_among};
pub use cluster::Cluster;
pub(crate) use cluster::{Code, Lifted, Mark, NodeState, PodOnNode, ShapeId, Vocabulary};
pub(crate) use filters::Filters;
pub use outcome::{NodeResult, NodeVerdict, Outcome, Placement, Preemption};
pub use tie_break::TieBreak;
pub use view::{NodeView, PodKey, PodView};

/// The settings of the scheduler that may differ between clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// How many of the nodes to look for feasible ones in, 1 to 100; 0 adapts to the size of the cluster, as upstream's
    /// default does from 100 nodes on.
    pub percentage_of_nodes_to_score: u8,
}

impl Profile {
    /// Looks at every node.
    pub fn exhaustive() -> Profile {
        Profile { percentage_of_nodes_to_score: 100 }
    }

    /// `numFeasibleNodesToFind` of pkg/scheduler/schedule_one.go v1.36.3.
    fn nodes_to_find(&self, nodes: usize) -> usize {
        const AT_LEAST: usize = 100;
        if nodes < AT_LEAST {
            return nodes;
        }
        let percentage = match self.percentage_of_nodes_to_score {
            0 => 50_usize.saturating_sub(nodes / 125).max(5),
            named => usize::from(named.min(100)),
        };
        (nodes * percentage / 100).max(AT_LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(percentage: u8, nodes: usize, expected: usize) {
        let profile = Profile { percentage_of_nodes_to_score: percentage };
        assert_eq!(profile.nodes_to_find(nodes), expected, "{percentage} % of {nodes}");
    }

    #[test]
    fn samples_large_clusters_as_upstream() {
        check(0, 99, 99);
        check(0, 100, 100);
        check(0, 1000, 420);
        check(0, 6000, 300);
        check(40, 1000, 400);
        check(100, 1000, 1000);
    }
}
