//! Services that send to a port name which no container has.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::running;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "service-port",
    severity: Severity::Error,
    why: "Pods that do not name the Service's target port are left out of its endpoints.",
    example: "targetPort: web, where the container's port is called http",
    advice: "Name a port of the pods' containers, or give its number.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, service) in &context.services {
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        for (number, port) in ports.into_iter().flatten().enumerate() {
            let Some(IntOrString::String(name)) = &port.target_port else { continue };
            let missing = context.behind(service).find(|workload| {
                let ports = running(workload).flat_map(|(_, container)| container.ports.iter().flatten());
                !ports.into_iter().any(|port| port.name.as_deref() == Some(name))
            });
            if let Some(workload) = missing {
                let message = format!("sends to the port `{name}`, which {}'s pods have not", workload.name);
                report.add(At::object(*index, format!("/spec/ports/{number}/targetPort")), message);
            }
        }
    }
}
