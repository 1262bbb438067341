//! Containers with the node's powers.

use crate::context::{TEMPLATE, containers, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "privileged",
    severity: Severity::Error,
    why: "A privileged container or one in the node's namespaces is root on the node: whoever breaks into it has every pod there.",
    example: "securityContext.privileged: true, hostNetwork: true, or hostPID: true",
    advice: "Drop it; add the single capability that is needed.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        let pod = workload.pod_spec();
        for (field, set) in [("hostNetwork", pod.host_network), ("hostPID", pod.host_pid), ("hostIPC", pod.host_ipc)] {
            if set == Some(true) {
                report.add(At::object(workload.object, format!("{TEMPLATE}/spec/{field}")), format!("sets {field}"));
            }
        }
        for (pointer, container) in containers(workload) {
            let Some(security) = &container.security_context else { continue };
            if security.privileged == Some(true) {
                let field = format!("{pointer}/securityContext/privileged");
                report.add(At::object(workload.object, field), format!("container {} is privileged", container.name));
            }
        }
    }
}
