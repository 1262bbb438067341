//! Pods that get traffic before they can answer.

use crate::context::{TEMPLATE, has_template, running};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "readiness-missing",
    severity: Severity::Warning,
    why: "Without a readiness probe a pod gets requests as soon as its process starts: every scale-out and rollout loses some.",
    example: "a Service in front of a Deployment without a readinessProbe",
    advice: "Add a readinessProbe that answers when the pod can serve.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        if running(workload).any(|(_, container)| container.readiness_probe.is_some()) {
            continue;
        }
        // `hpa-start-up-counts-as-load` says it where an autoscaler is misled too.
        let misled = context.platform.hpa_of(workload).is_some_and(|hpa| hpa.utilization_percent.contains_key("cpu"));
        let serving = context
            .services
            .iter()
            .find(|(_, service)| context.behind(service).any(|behind| behind.object == workload.object));
        if let Some((_, service)) = serving.filter(|_| !misled) {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            let message = format!("the Service {name} sends it requests, and no container has a readiness probe");
            report.add(At::object(workload.object, format!("{TEMPLATE}/spec/containers")), message);
        }
    }
}
