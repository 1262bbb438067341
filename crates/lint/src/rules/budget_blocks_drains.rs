//! Disruption budgets that allow no eviction.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "budget-blocks-drains",
    severity: Severity::Error,
    why: "A budget that never allows an eviction blocks every drain: AKS upgrades fail after an hour, and the autoscaler never removes the node.",
    example: "minAvailable: 1 over a workload whose minimum is one replica",
    advice: "Use maxUnavailable: 1, or a minAvailable below the smallest number of replicas.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for budget in &context.platform.budgets {
        let Some(selector) = &budget.spec.selector else { continue };
        let covered: Vec<_> = context
            .platform
            .workloads
            .iter()
            .filter(|w| {
                w.namespace == budget.namespace && w.kind != "DaemonSet" && labels::matches(selector, w.pod_labels())
            })
            .collect();
        let least: u32 = covered.iter().map(|w| context.platform.replica_bounds(w).0).fold(0, u32::saturating_add);
        if covered.is_empty() || least == 0 {
            continue;
        }
        let spec = &budget.spec;
        let (field, setting, allowed) = match (&spec.min_available, &spec.max_unavailable) {
            (Some(setting), _) => {
                ("minAvailable", setting, amount(setting, least).map(|needed| i64::from(least) - needed))
            }
            (_, Some(setting)) => ("maxUnavailable", setting, amount(setting, least)),
            (None, None) => continue,
        };
        if allowed.is_some_and(|allowed| allowed <= 0) {
            let message = format!("{field}: {} of the least {least} pod(s) allows no eviction", text(setting));
            report.add(At::object(budget.object, format!("/spec/{field}")), message);
        }
    }
}

/// Percentages round up for both fields (pkg/controller/disruption v1.36).
fn amount(setting: &IntOrString, of: u32) -> Option<i64> {
    match setting {
        IntOrString::Int(count) => Some(i64::from(*count)),
        IntOrString::String(text) => {
            let percent: u32 = text.strip_suffix('%')?.parse().ok()?;
            Some(i64::try_from((u64::from(of) * u64::from(percent)).div_ceil(100)).unwrap_or(i64::MAX))
        }
    }
}

fn text(setting: &IntOrString) -> String {
    match setting {
        IntOrString::Int(count) => count.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
