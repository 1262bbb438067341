//! A minimum of zero that nothing can leave again.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-scale-to-zero",
    severity: Severity::Error,
    why: "Without pods there is no CPU or memory to read: only object and external metrics can bring a workload back from zero.",
    example: "minReplicas: 0 with a CPU target only",
    advice: "Set minReplicas to 1, or add an object or external metric.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in &context.platform.hpas {
        let outside = |kind: &str| kind == "Object" || kind == "External";
        if hpa.min == 0 && !hpa.spec.metrics.iter().flatten().any(|metric| outside(&metric.type_)) {
            let message = "a minimum of 0 needs a metric that exists without pods, and there is none";
            report.add(At::object(hpa.object, "/spec/minReplicas"), message);
        }
    }
}
