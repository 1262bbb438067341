//! Two autoscalers of one workload.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-duplicate",
    severity: Severity::Error,
    why: "Two HPAs of one workload undo each other: each sets the replicas that its own metrics ask for (AmbiguousSelector).",
    example: "HPAs backend-cpu and backend-memory, both with scaleTargetRef.name: backend",
    advice: "Put all metrics into one HPA; it takes the largest answer.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, hpa) in context.platform.hpas.iter().enumerate() {
        let same = |other: &&platform::Autoscaler| {
            (&other.namespace, &other.target_kind, &other.target) == (&hpa.namespace, &hpa.target_kind, &hpa.target)
        };
        if let Some(first) = context.platform.hpas.iter().take(index).find(same) {
            let message = format!("scales {} {}, as the HPA {} does", hpa.target_kind, hpa.target, first.name);
            report.add(At::object(hpa.object, "/spec/scaleTargetRef"), message);
        }
    }
}
