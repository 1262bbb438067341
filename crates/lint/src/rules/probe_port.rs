//! Probes of a port that the container does not name.

use k8s_openapi::api::core::v1::Probe;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::containers;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "probe-port",
    severity: Severity::Error,
    why: "A probe of a port name that the container has not fails always: the pod never becomes ready, or is restarted for ever.",
    example: "readinessProbe.httpGet.port: web, where the port is called http",
    advice: "Name one of the container's ports.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        for (pointer, container) in containers(workload) {
            let probes = [
                ("startupProbe", &container.startup_probe),
                ("livenessProbe", &container.liveness_probe),
                ("readinessProbe", &container.readiness_probe),
            ];
            for (name, probe) in probes {
                let Some(port) = probe.as_ref().and_then(named_port) else { continue };
                let known = container.ports.iter().flatten().any(|known| known.name.as_deref() == Some(port));
                if !known {
                    let message = format!("probes the port `{port}`, which container {} has not", container.name);
                    report.add(At::object(workload.object, format!("{pointer}/{name}")), message);
                }
            }
        }
    }
}

fn named_port(probe: &Probe) -> Option<&str> {
    let http = probe.http_get.as_ref().map(|http| &http.port);
    match http.or_else(|| probe.tcp_socket.as_ref().map(|tcp| &tcp.port))? {
        IntOrString::String(name) => Some(name),
        IntOrString::Int(_) => None,
    }
}
