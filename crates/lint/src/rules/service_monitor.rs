//! Monitors of nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use crate::context::namespace_of;
use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "service-monitor",
    severity: Severity::Warning,
    why: "A ServiceMonitor without a Service or with a port name that the Service has not makes no target: the graphs stay empty.",
    example: "endpoints: [{port: metrics}], where the Service's port is called http",
    advice: "Select a Service by its own labels, and name one of its ports.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, monitor) in context.platform.of_kind("ServiceMonitor") {
        let spec = &monitor["spec"];
        let elsewhere = &spec["namespaceSelector"];
        if elsewhere["any"] == true || elsewhere["matchNames"].is_array() {
            continue;
        }
        let Ok(selector) = LabelSelector::deserialize(&spec["selector"]) else { continue };
        let namespace = monitor["metadata"]["namespace"].as_str().unwrap_or("default");
        let services: Vec<_> = context
            .services
            .iter()
            .map(|(_, service)| service)
            .filter(|service| namespace_of(&service.metadata.namespace) == namespace)
            .filter(|service| labels::matches(&selector, &service.metadata.labels.clone().unwrap_or_default()))
            .collect();
        if services.is_empty() {
            report.add(At::object(index, "/spec/selector"), format!("selects no Service of {namespace}"));
            continue;
        }
        for (number, endpoint) in spec["endpoints"].as_array().into_iter().flatten().enumerate() {
            let Some(port) = endpoint["port"].as_str() else { continue };
            let known = services.iter().any(|service| {
                let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
                ports.into_iter().flatten().any(|known| known.name.as_deref() == Some(port))
            });
            if !known {
                let message = format!("scrapes the port `{port}`, which its Service has not");
                report.add(At::object(index, format!("/spec/endpoints/{number}/port")), message);
            }
        }
    }
}
