//! Bounds that leave no number of replicas.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-bounds",
    severity: Severity::Error,
    why: "The API server refuses an HPA whose minimum is above its maximum, or whose maximum is zero.",
    example: "minReplicas: 5 with maxReplicas: 3",
    advice: "Set maxReplicas to at least minReplicas and at least 1.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in &context.platform.hpas {
        if hpa.max < hpa.min || hpa.max == 0 {
            let message = format!("a minimum of {} and a maximum of {} leave no number of replicas", hpa.min, hpa.max);
            report.add(At::object(hpa.object, "/spec/maxReplicas"), message);
        }
    }
}
