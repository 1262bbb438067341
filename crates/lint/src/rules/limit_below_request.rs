//! A limit below the request.

use units::Quantity;

use crate::context::containers;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "limit-below-request",
    severity: Severity::Error,
    why: "The API server refuses every pod of a template whose limit is below its request; the Deployment itself is accepted.",
    example: "requests.memory: 512Mi with limits.memory: 256Mi",
    advice: "Raise the limit to at least the request.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        for (pointer, container) in containers(workload) {
            let Some(resources) = &container.resources else { continue };
            for (resource, request) in resources.requests.iter().flatten() {
                let Some(limit) = resources.limits.as_ref().and_then(|limits| limits.get(resource)) else { continue };
                let parsed = (request.0.parse::<Quantity>(), limit.0.parse::<Quantity>());
                if let (Ok(asked), Ok(most)) = parsed
                    && most.millis() < asked.millis()
                {
                    let message = format!(
                        "container {} requests {} of {resource} and is limited to {}",
                        container.name, request.0, limit.0
                    );
                    report.add(At::object(workload.object, format!("{pointer}/resources/limits/{resource}")), message);
                }
            }
        }
    }
}
