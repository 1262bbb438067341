//! A pool without a number of nodes.

use platform::Scaling;

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "pool-bounds",
    severity: Severity::Error,
    why: "AKS refuses a pool whose minimum is above its maximum, and a system pool of zero nodes.",
    example: "min: 3, max: 2",
    advice: "Set max to at least min, and a system pool's min to at least 1.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in &context.platform.pools {
        let problem = match pool.scaling {
            Scaling::Between { min, max } if min > max => format!("a minimum of {min} is above the maximum of {max}"),
            scaling if pool.system && scaling.min() == 0 => "a system pool needs at least one node".to_owned(),
            scaling if scaling.max() > 1000 => format!("{} nodes are above AKS's 1,000 of a pool", scaling.max()),
            _ => continue,
        };
        let field = if matches!(pool.scaling, Scaling::Fixed(_)) { "count" } else { "max" };
        report.add(At::Pool(pool.name.clone(), field), problem);
    }
}
