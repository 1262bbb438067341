//! A share of a request that is not there.

use k8s_openapi::api::core::v1::Container;

use crate::context::running;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-target-without-request",
    severity: Severity::Error,
    why: "Utilization is a share of the request: one container without it makes the metric fail for the whole pod.",
    example: "a sidecar without resources.requests.cpu beside a CPU target of 70 %",
    advice: "Give every container of the pod a request for the resource, or use a ContainerResource metric.",
    check,
};

/// `GetResourceUtilizationRatio` and `calculatePodRequests` of pkg/controller/podautoscaler v1.36: every container counts, the
/// sidecars among the init containers too.
fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in &context.platform.hpas {
        let Some(target) = context.platform.target_of(hpa) else { continue };
        for metric in hpa.spec.metrics.iter().flatten() {
            let (resource, container) = match (&metric.resource, &metric.container_resource) {
                (Some(metric), _) if metric.target.average_utilization.is_some() => (metric.name.as_str(), None),
                (_, Some(metric)) if metric.target.average_utilization.is_some() => {
                    (metric.name.as_str(), Some(metric.container.as_str()))
                }
                _ => continue,
            };
            let counted = |name: &str| container.is_none_or(|container| container == name);
            for (pointer, container) in running(target).filter(|(_, container)| counted(&container.name)) {
                if !requests(container, resource) {
                    let message = format!(
                        "container {} requests no {resource}, and the HPA {} compares its use with the request",
                        container.name, hpa.name
                    );
                    report.add(At::object(target.object, format!("{pointer}/resources/requests/{resource}")), message);
                }
            }
        }
    }
}

fn requests(container: &Container, resource: &str) -> bool {
    let requested = container.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get(resource));
    requested.is_some_and(|quantity| quantity.0.parse::<units::Quantity>().is_ok_and(|quantity| quantity.millis() > 0))
}
