//! A size whose end is announced.

use crate::{At, Context, Report, Rule, Severity, prices};

pub(super) const RULE: Rule = Rule {
    id: "vm-size-retires",
    severity: Severity::Warning,
    why: "Azure switches machines of a retired size off at the date, and restricts new ones in new subscriptions before.",
    example: "vmSize: Standard_B2s, which retires on 2028-11-15",
    advice: "Choose a size of a current series; a pool's size cannot be changed, so make a new pool and drain the old one.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in &context.platform.pools {
        let Some(size) = pool.size() else { continue };
        let Some(date) = size.retires else { continue };
        let as_good = |other: &platform::Size| {
            other.retires.is_none() && other.vcpus >= size.vcpus && other.memory_mib >= size.memory_mib
        };
        let alternative = prices::alternative(size.name, &context.platform.cluster.location, as_good);
        report.add_with(
            At::Pool(pool.name.clone(), "vmSize"),
            format!("`{}` retires on {date}", size.name),
            alternative,
        );
    }
}
