//! A metric of a container that no pod has.

use crate::context::containers;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-container-unknown",
    severity: Severity::Error,
    why: "A ContainerResource metric that names a container which the pods do not have fails at every sync.",
    example: "containerResource.container: app, where the container is called backend",
    advice: "Name a container of the target's pod template.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for hpa in &context.platform.hpas {
        let Some(target) = context.platform.target_of(hpa) else { continue };
        for (index, metric) in hpa.spec.metrics.iter().flatten().enumerate() {
            let Some(metric) = &metric.container_resource else { continue };
            if !containers(target).any(|(_, container)| container.name == metric.container) {
                let message = format!("measures the container `{}`, which {} has not", metric.container, target.name);
                report
                    .add(At::object(hpa.object, format!("/spec/metrics/{index}/containerResource/container")), message);
            }
        }
    }
}
