//! Rules on spreading that the nodes cannot meet.

use crate::context::{TEMPLATE, has_template};
use crate::full::Lack;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "spread-unsatisfiable",
    severity: Severity::Error,
    why: "A hard spread constraint or anti-affinity that the pool's nodes cannot meet leaves pods Pending although there is room.",
    example: "required anti-affinity by hostname with ten replicas on five nodes",
    advice: "Use ScheduleAnyway or preferred anti-affinity, or allow as many nodes as the rule needs.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for unplaced in context.full().unplaced.iter().filter(|unplaced| unplaced.lack == Lack::Rule) {
        let workload = &context.platform.workloads[unplaced.workload];
        let message = format!("of {} pods {} have a place: {}", unplaced.wanted, unplaced.placed, unplaced.message);
        let field = if has_template(context.platform, workload) { TEMPLATE } else { "" };
        let spread = workload.pod_spec().topology_spread_constraints.is_some();
        let field = format!("{field}/spec/{}", if spread { "topologySpreadConstraints" } else { "affinity" });
        report.add(At::object(workload.object, field), message);
    }
}
