//! A fixed number of pods that the nodes have no room for.

use crate::context::{TEMPLATE, has_template};
use crate::full::Lack;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "workload-does-not-fit",
    severity: Severity::Error,
    why: "Pods for which the pool has no room even at its maximum stay Pending for ever.",
    example: "Prometheus with a request of 4Gi on a single Standard_B2s",
    advice: "Lower the requests, raise the pool's number, or choose a larger size.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for addon in &context.full().addons {
        let Some(pool) = context.platform.pools.iter().find(|pool| pool.system) else { break };
        let message = format!("has no room for AKS's own {addon}");
        report.add(At::Pool(pool.name.clone(), "vmSize"), message);
    }
    for unplaced in context.full().unplaced.iter().filter(|unplaced| unplaced.lack == Lack::Room) {
        let workload = &context.platform.workloads[unplaced.workload];
        if context.platform.hpa_of(workload).is_some() {
            continue;
        }
        let message = format!("of {} pods {} have a place: {}", unplaced.wanted, unplaced.placed, unplaced.message);
        let field = if has_template(context.platform, workload) { TEMPLATE } else { "/spec" };
        report.add(At::object(workload.object, field), message);
    }
}
