//! Objects of a namespace that nobody makes.

use std::collections::BTreeSet;

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "namespace-missing",
    severity: Severity::Error,
    why: "The API server refuses an object whose namespace does not exist.",
    example: "metadata.namespace: platfrom",
    advice: "Declare the namespace, or correct the name.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let declared: BTreeSet<&str> =
        context.platform.of_kind("Namespace").filter_map(|(_, object)| object["metadata"]["name"].as_str()).collect();
    // A folder that declares none goes into a cluster that has them.
    if declared.is_empty() {
        return;
    }
    for (index, object) in context.platform.objects.iter().enumerate() {
        let Some(namespace) = object["metadata"]["namespace"].as_str() else { continue };
        if !declared.contains(namespace) && namespace != "default" && !namespace.starts_with("kube-") {
            let known = declared.iter().copied().collect::<Vec<_>>().join(", ");
            let message = format!("the namespace `{namespace}` is not declared; declared are {known}");
            report.add(At::object(index, "/metadata/namespace"), message);
        }
    }
}
