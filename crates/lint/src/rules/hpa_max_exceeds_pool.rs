//! More replicas than nodes have room for.

use crate::full::Lack;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "hpa-max-exceeds-pool",
    severity: Severity::Error,
    why: "At the HPA's maximum the pool is at its own: the last replicas stay Pending, and the load they were for is not served.",
    example: "maxReplicas: 10 of 500m each on a pool of at most two Standard_B2s",
    advice: "Raise the pool's max, lower the HPA's maximum, or lower the pods' requests.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for unplaced in context.full().unplaced.iter().filter(|unplaced| unplaced.lack == Lack::Room) {
        let workload = &context.platform.workloads[unplaced.workload];
        let Some(hpa) = context.platform.hpa_of(workload) else { continue };
        let pools = context.pools_of(workload);
        let nodes: u32 = pools.iter().map(|pool| pool.scaling.max()).fold(0, u32::saturating_add);
        let names = pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "of {} replicas {} fit on the {nodes} node(s) of {names} beside AKS's own pods: {}",
            unplaced.wanted, unplaced.placed, unplaced.message
        );
        report.add(At::object(hpa.object, "/spec/maxReplicas"), message);
    }
}
