//! A rollout that waits for room which never comes.

use crate::full::Lack;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "rollout-does-not-fit",
    severity: Severity::Warning,
    why: "With maxUnavailable: 0 a rollout first needs room for one more pod; at the maximum there is none, and the release hangs when load is highest.",
    example: "maxSurge: 1, maxUnavailable: 0, and an HPA maximum that fills the pool exactly",
    advice: "Leave room for the surge: one replica less, one node more, or maxUnavailable: 1.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for unplaced in context.full().unplaced.iter().filter(|unplaced| unplaced.lack == Lack::Surge) {
        let workload = &context.platform.workloads[unplaced.workload];
        let message = format!("at {} replicas an additional pod has no place: {}", unplaced.wanted, unplaced.message);
        report.add(At::object(workload.object, "/spec/strategy/rollingUpdate/maxSurge"), message);
    }
}
