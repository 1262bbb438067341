//! Containers that run as root.

use crate::context::{containers, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "runs-as-root",
    severity: Severity::Warning,
    why: "A process that is root in its container is root on the node after the next container escape.",
    example: "runAsUser: 0, or no runAsNonRoot: true",
    advice: "Set runAsNonRoot: true and a runAsUser above 0.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        let pod = workload.pod_spec().security_context.as_ref();
        for (pointer, container) in containers(workload) {
            let own = container.security_context.as_ref();
            let user = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
            let refuses = own.and_then(|own| own.run_as_non_root).or_else(|| pod.and_then(|pod| pod.run_as_non_root));
            let message = match (user, refuses) {
                (Some(0), _) => format!("container {} runs as user 0", container.name),
                (None, None | Some(false)) => format!("container {} may run as root", container.name),
                _ => continue,
            };
            report.add(At::object(workload.object, format!("{pointer}/securityContext")), message);
        }
    }
}
