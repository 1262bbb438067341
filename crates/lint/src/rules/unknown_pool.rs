//! A pool that no template has.

use platform::POOL_LABEL;

use crate::context::{TEMPLATE, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "unknown-pool",
    severity: Severity::Error,
    why: "A pod that asks for a pool which does not exist stays Pending, and no autoscaler adds nodes for it.",
    example: "node affinity for marea.dev/pool: bakend",
    advice: "Name one of the pools of the base stack.",
    check,
};

/// AKS's own label for the pool, which people use as often.
const LABELS: [&str; 3] = [POOL_LABEL, "agentpool", "kubernetes.azure.com/agentpool"];

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let pools = &context.platform.pools;
    if pools.is_empty() {
        return;
    }
    for workload in &context.platform.workloads {
        for label in LABELS {
            for name in workload.required_labels.get(label).into_iter().flatten() {
                let exists = pools.iter().any(|pool| {
                    if label == POOL_LABEL { pool.labels.get(label) == Some(name) } else { pool.name == *name }
                });
                if exists {
                    continue;
                }
                let known = pools.iter().map(|pool| format!("`{}`", pool.name)).collect::<Vec<_>>().join(", ");
                let field = if has_template(context.platform, workload) { TEMPLATE } else { "" };
                let by_selector = workload.pod_spec().node_selector.as_ref().is_some_and(|s| s.contains_key(label));
                let field =
                    format!("{field}/spec/{}", if by_selector { "nodeSelector" } else { "affinity/nodeAffinity" });
                let message = format!("asks for the pool `{name}`, which no template has; pools are {known}");
                report.add(At::object(workload.object, field), message);
            }
        }
    }
}
