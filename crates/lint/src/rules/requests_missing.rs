//! Containers that ask for nothing.

use crate::context::{has_template, running};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "requests-missing",
    severity: Severity::Warning,
    why: "A pod without requests fits everywhere: the autoscaler adds no node for it, the scheduler packs it onto full ones, and it is evicted first.",
    example: "a container without resources.requests",
    advice: "Request what the container uses when it is busy.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        // `hpa-target-without-request` says it where an autoscaler needs the request.
        let ruled = context.platform.hpa_of(workload);
        for (pointer, container) in running(workload) {
            let of = |resource: &str| {
                let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
                requests.is_some_and(|requests| requests.contains_key(resource))
            };
            let missing: Vec<&str> = ["cpu", "memory"]
                .into_iter()
                .filter(|resource| !of(resource))
                .filter(|resource| !ruled.is_some_and(|hpa| hpa.utilization_percent.contains_key(*resource)))
                .collect();
            if !missing.is_empty() {
                let message = format!("container {} requests no {}", container.name, missing.join(" and no "));
                report.add(At::object(workload.object, format!("{pointer}/resources")), message);
            }
        }
    }
}
