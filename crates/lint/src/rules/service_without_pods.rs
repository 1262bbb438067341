//! Services with nothing behind them.

use crate::context::namespace_of;
use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "service-without-pods",
    severity: Severity::Error,
    why: "A Service whose selector matches no pods has no endpoints: every connection to it is refused.",
    example: "selector app.kubernetes.io/name: backnd",
    advice: "Use labels that a workload of the same namespace gives its pods.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, service) in &context.services {
        let Some(spec) = &service.spec else { continue };
        // Without a selector the endpoints are made by hand.
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { continue };
        if context.behind(service).next().is_none() {
            let namespace = namespace_of(&service.metadata.namespace);
            let message = format!("selects {}, which no workload of {namespace} has", labels::text(selector));
            report.add(At::object(*index, "/spec/selector"), message);
        }
    }
}
