//! A target that the limit keeps the pods from reaching.

use units::Quantity;

use crate::context::running;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-target-beyond-limit",
    severity: Severity::Error,
    why: "A pod that is throttled (or killed) at its limit never uses the share of its request at which the HPA would add another.",
    example: "a request of 500m, a limit of 500m, and a target of 110 %",
    advice: "Raise the limit above request × target, or lower the target.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in &context.platform.hpas {
        let Some(target) = context.platform.target_of(hpa) else { continue };
        for (resource, percent) in &hpa.utilization_percent {
            let sum = |limits: bool| -> Option<i64> {
                let amounts = running(target).map(|(_, container)| {
                    let resources = container.resources.as_ref()?;
                    let all = if limits { &resources.limits } else { &resources.requests };
                    Some(all.as_ref()?.get(resource)?.0.parse::<Quantity>().ok()?.millis())
                });
                amounts.collect::<Option<Vec<_>>>().map(|all| all.into_iter().fold(0, i64::saturating_add))
            };
            // Without a limit on every container the pod may grow.
            let (Some(request), Some(limit)) = (sum(false), sum(true)) else { continue };
            let wanted = i128::from(request) * i128::from(*percent);
            if request > 0 && wanted >= i128::from(limit) * 100 {
                let message = format!(
                    "a target of {percent} % of {resource} is {} of the limit: it is never exceeded",
                    if wanted == i128::from(limit) * 100 { "all" } else { "more than all" }
                );
                report.add(At::object(hpa.object, "/spec/metrics"), message);
            }
        }
    }
}
