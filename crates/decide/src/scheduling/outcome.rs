//! What an attempt to schedule a pod comes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::PodKey;
use crate::report::Report;

/// The decision on one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub placement: Placement,
    /// Every node that was looked at, by name.
    pub nodes: Vec<NodeResult>,
    pub report: Report,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Placement {
    Bound {
        node: String,
        /// Every node with the highest score; one of them was chosen.
        best: Vec<String>,
    },
    Unschedulable {
        /// As upstream writes it into the pod's `PodScheduled` condition and the `FailedScheduling` event.
        message: String,
        /// The filters that rejected nodes, which decide the events that bring the pod back.
        filters: Vec<String>,
        preemption: Option<Preemption>,
    },
    /// The pod has scheduling gates and is not looked at.
    Gated { message: String },
}

/// Pods to evict so that the pod fits on the node, which becomes its nominated node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preemption {
    pub node: String,
    /// Most important first; none where the pods that have to go are going already.
    pub victims: Vec<PodKey>,
    /// How many of the victims a disruption budget would protect.
    pub budget_violations: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeResult {
    pub node: String,
    pub verdict: NodeVerdict,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeVerdict {
    /// Weighted scores by plugin, and their sum.
    Feasible { scores: BTreeMap<String, i64>, total: i64 },
    /// The first filter that said no, in upstream's words.
    Rejected { filter: String, message: String },
}

/// Upstream's `FitError` (pkg/scheduler/framework/types.go v1.36.3): counts per reason, sorted as text.
pub(super) fn fit_error<'a>(
    nodes: usize,
    before_nodes: Option<&str>,
    reasons: impl IntoIterator<Item = (&'a str, usize)>,
    afterwards: &str,
) -> String {
    let mut message = format!("0/{nodes} nodes are available:");
    if let Some(reason) = before_nodes {
        message.push_str(&format!(" {reason}."));
    } else {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (reason, count) in reasons {
            *counts.entry(reason).or_default() += count;
        }
        let mut parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        if !parts.is_empty() {
            message.push_str(&format!(" {}.", parts.join(", ")));
        }
    }
    if !afterwards.is_empty() {
        message.push_str(&format!(" {afterwards}"));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: Option<&str>, reasons: &[(&str, usize)], afterwards: &str, expected: &str) {
        assert_eq!(fit_error(3, before, reasons.iter().copied(), afterwards), expected);
    }

    #[test]
    fn words_and_order_are_upstreams() {
        check(
            None,
            &[("node(s) had untolerated taint(s)", 2), ("Insufficient cpu", 1)],
            "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are \
             available: 3 Preemption is not helpful for scheduling.",
        );
        check(None, &[("b", 10), ("a", 9)], "", "0/3 nodes are available: 10 b, 9 a.");
        check(Some("pod is odd"), &[("a", 1)], "", "0/3 nodes are available: pod is odd.");
        check(None, &[], "", "0/3 nodes are available:");
    }
}
