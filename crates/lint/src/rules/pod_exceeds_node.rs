//! A pod that is larger than any node.

use crate::context::{TEMPLATE, has_template};
use crate::full::Lack;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "pod-exceeds-node",
    severity: Severity::Error,
    why: "A pod that asks for more than an empty node has never runs, and the autoscaler does not add nodes for it.",
    example: "requests.cpu: 2 on Standard_B2s, of whose 2 vCPUs AKS leaves 1.65 after its own pods",
    advice: "Lower the requests below what the pool's size leaves, or choose a larger size.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for unplaced in context.full().unplaced.iter().filter(|unplaced| unplaced.lack == Lack::Node) {
        let workload = &context.platform.workloads[unplaced.workload];
        let message = format!(
            "one pod asks for {}m and {} MiB, more than an empty node has: {}",
            workload.cpu.0,
            workload.memory.0 / (1024 * 1024),
            unplaced.message
        );
        let field = if has_template(context.platform, workload) { TEMPLATE } else { "/spec" };
        report.add(At::object(workload.object, format!("{field}/spec/containers/0/resources/requests")), message);
    }
}
