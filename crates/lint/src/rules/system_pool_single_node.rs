//! A system pool of one node.

use platform::Scaling;

use crate::{At, Context, Report, Rule, Severity, prices};

pub(super) const RULE: Rule = Rule {
    id: "system-pool-single-node",
    severity: Severity::Warning,
    why: "With one system node, its failure or upgrade takes name resolution, metrics (and with them every HPA) and the ingress with it.",
    example: "mode: system with count: 1",
    advice: "Run at least two system nodes, as AKS documents.",
    check,
};

/// AKS "Use system node pools" (2026-04-30): "must contain at least two nodes".
fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let systems: Vec<_> = context.platform.pools.iter().filter(|pool| pool.system).collect();
    let nodes: u32 = systems.iter().map(|pool| pool.scaling.min()).fold(0, u32::saturating_add);
    let Some(pool) = systems.first().filter(|_| nodes < 2) else { return };
    let field = if matches!(pool.scaling, Scaling::Fixed(_)) { "count" } else { "min" };
    let price = prices::cents_a_month(&pool.vm_size, &context.platform.cluster.location);
    let alternative = price.map(|cents| format!("A second {} costs {} a month", pool.vm_size, prices::dollars(cents)));
    report.add_with(At::Pool(pool.name.clone(), field), format!("has {nodes} node"), alternative);
}
