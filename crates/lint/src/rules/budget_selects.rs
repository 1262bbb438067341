//! Disruption budgets of nothing, or of the same pods twice.

use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "budget-selects",
    severity: Severity::Warning,
    why: "A budget without pods protects nothing, and pods under two budgets cannot be evicted at all: the API answers 500.",
    example: "selector app.kubernetes.io/name: backnd",
    advice: "Let exactly one budget select each workload's pods.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let mut taken: Vec<(usize, &str)> = Vec::new();
    for budget in &context.platform.budgets {
        let Some(selector) = &budget.spec.selector else { continue };
        let at = || At::object(budget.object, "/spec/selector");
        let mut any = false;
        for workload in &context.platform.workloads {
            if workload.namespace != budget.namespace || !labels::matches(selector, workload.pod_labels()) {
                continue;
            }
            any = true;
            match taken.iter().find(|(object, _)| *object == workload.object) {
                Some((_, other)) => {
                    report.add(at(), format!("selects {}'s pods, as the budget {other} does", workload.name));
                }
                None => taken.push((workload.object, &budget.name)),
            }
        }
        if !any {
            report.add(at(), "selects no workload's pods");
        }
    }
}
