//! A pod range without a block for every node.

use crate::addresses::Range;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "pod-range-too-small",
    severity: Severity::Error,
    why: "An overlay gives every node a /24 of the pod range; when none is left, new nodes stay NotReady.",
    example: "network.pods: 10.244.0.0/22 (four nodes) for pools of at most nine",
    advice: "Choose a larger range, e.g. a /16; it cannot be changed later.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let platform = context.platform;
    if platform.cluster.network_plugin_mode.as_deref() != Some("overlay") {
        return;
    }
    let Some(range) = platform.network.pod_cidr.as_deref().and_then(Range::parse) else { return };
    let nodes = platform.pools.iter().map(|pool| u64::from(pool.scaling.max()) + u64::from(pool.surge)).sum::<u64>();
    let blocks = range.blocks(24);
    if nodes > blocks {
        let message = format!("has {blocks} blocks of /24, and all pools at their maximum with surge need {nodes}");
        report.add(At::Cluster("network.pods"), message);
    }
}
