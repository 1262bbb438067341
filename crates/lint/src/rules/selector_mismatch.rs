//! A workload that does not select its own pods.

use crate::context::has_template;
use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "selector-mismatch",
    severity: Severity::Error,
    why: "The API server refuses a workload whose selector does not match its template's labels.",
    example: "selector app: web with template labels app: webserver",
    advice: "Give the template the labels that the selector asks for.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        let selector = &workload.selector;
        let empty = selector.match_labels.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
        if empty || !labels::matches(selector, workload.pod_labels()) {
            let message = if empty { "has no selector" } else { "its selector does not match its pods' labels" };
            report.add(At::object(workload.object, "/spec/selector"), message);
        }
    }
}
