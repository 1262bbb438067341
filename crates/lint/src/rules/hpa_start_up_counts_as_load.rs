//! Start-up that the autoscaler reads as load.

use k8s_openapi::api::core::v1::Probe;

use crate::context::{TEMPLATE, running};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-start-up-counts-as-load",
    severity: Severity::Warning,
    why: "Only the readiness probe tells the HPA that a pod still starts, and only for five minutes: otherwise start-up CPU is read as load and adds more starting pods.",
    example: "an HPA on CPU over pods without a readinessProbe, or a startupProbe that allows ten minutes",
    advice: "Add a readinessProbe, and keep start-up below the controller's CPU initialisation period of five minutes.",
    check,
};

/// kube-controller-manager's `--horizontal-pod-autoscaler-cpu-initialization-period`, which AKS does not let people change.
const INITIALISATION_SECONDS: i64 = 300;

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in context.platform.hpas.iter().filter(|hpa| hpa.utilization_percent.contains_key("cpu")) {
        let Some(target) = context.platform.target_of(hpa) else { continue };
        if running(target).all(|(_, container)| container.readiness_probe.is_none()) {
            let message =
                format!("no container has a readiness probe, so the HPA {} counts a pod's start-up as load", hpa.name);
            report.add(At::object(target.object, format!("{TEMPLATE}/spec/containers")), message);
            continue;
        }
        for (pointer, container) in running(target) {
            let Some(probe) = &container.startup_probe else { continue };
            let allowed = allowed_seconds(probe);
            if allowed > INITIALISATION_SECONDS {
                let message = format!(
                    "the startup probe allows {allowed} s, and after {INITIALISATION_SECONDS} s the HPA {} counts start-up as load",
                    hpa.name
                );
                report.add(At::object(target.object, format!("{pointer}/startupProbe")), message);
            }
        }
    }
}

/// Kubernetes' defaults: every ten seconds, three failures.
fn allowed_seconds(probe: &Probe) -> i64 {
    let of = |value: Option<i32>, default: i32| i64::from(value.unwrap_or(default));
    of(probe.initial_delay_seconds, 0) + of(probe.period_seconds, 10) * of(probe.failure_threshold, 3)
}
