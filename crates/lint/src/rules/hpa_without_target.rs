//! An autoscaler of nothing.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-without-target",
    severity: Severity::Error,
    why: "An HPA whose target does not exist scales nothing and says so only in its own conditions.",
    example: "scaleTargetRef.name: backnd",
    advice: "Name a workload of the same namespace in scaleTargetRef.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    // Other kinds with a scale subresource may be declared elsewhere.
    let known = ["Deployment", "StatefulSet", "ReplicaSet"];
    for hpa in context.platform.hpas.iter().filter(|hpa| known.contains(&hpa.target_kind.as_str())) {
        if context.platform.target_of(hpa).is_none() {
            let message = format!("scales {} {}, which no manifest has", hpa.target_kind, hpa.target);
            report.add(At::object(hpa.object, "/spec/scaleTargetRef/name"), message);
        }
    }
}
