//! Policies of no pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::context::namespace_of;
use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "network-policy-selects",
    severity: Severity::Warning,
    why: "A policy whose selector matches no pods protects nothing and admits nothing.",
    example: "podSelector app.kubernetes.io/name: backnd",
    advice: "Use labels that a workload of the same namespace gives its pods.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, policy) in &context.policies {
        let Some(selector) = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref()) else { continue };
        let namespace = namespace_of(&policy.metadata.namespace);
        let selects = context
            .platform
            .workloads
            .iter()
            .any(|workload| workload.namespace == namespace && labels::matches(selector, workload.pod_labels()));
        if !selects && *selector != LabelSelector::default() {
            report.add(At::object(*index, "/spec/podSelector"), format!("selects no workload's pods of {namespace}"));
        }
    }
}
