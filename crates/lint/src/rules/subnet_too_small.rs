//! Subnets without an address for every machine.

use crate::addresses::Range;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "subnet-too-small",
    severity: Severity::Error,
    why: "Without a free address in the subnet the pool stops growing before its maximum, and upgrades, which need a node more, do not start.",
    example: "subnet: 10.224.2.0/29 (three usable addresses) for a pool of at most five nodes",
    advice: "Make the subnet larger; it can only be changed while nothing is in it.",
    check,
};

/// Azure keeps the first four addresses of every subnet and the last.
const RESERVED: u64 = 5;

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let overlay = context.platform.cluster.network_plugin_mode.as_deref() == Some("overlay");
    for pool in &context.platform.pools {
        let Some(prefix) = pool.subnet.as_ref().and_then(|name| context.platform.network.subnets.get(name)) else {
            continue;
        };
        let Some(range) = Range::parse(prefix) else { continue };
        let sharing: Vec<_> = context.platform.pools.iter().filter(|other| other.subnet == pool.subnet).collect();
        // Reported once, at the first of the pools that share it.
        if sharing.first().is_some_and(|first| first.name != pool.name) {
            continue;
        }
        let wanted: u64 = sharing
            .iter()
            .map(|pool| {
                let nodes = u64::from(pool.scaling.max()) + u64::from(pool.surge);
                // Without an overlay every pod that a node may hold has an address in the subnet, reserved when the node starts.
                nodes * if overlay { 1 } else { 1 + u64::from(pool.max_pods_or_default()) }
            })
            .fold(0, u64::saturating_add);
        let usable = range.addresses().saturating_sub(RESERVED);
        if wanted > usable {
            let message =
                format!("{prefix} has {usable} usable addresses, and the maximum with its surge needs {wanted}");
            report.add(At::Pool(pool.name.clone(), "subnet"), message);
        }
    }
}
