//! A size that is not in the table.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "vm-size-unknown",
    severity: Severity::Warning,
    why: "What a size of an unknown name holds is not known, so whether the pods fit is not checked; a misspelt size fails the deployment.",
    example: "vmSize: Standard_B2z",
    advice: "Correct the name, or check by hand that the pods fit.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in context.platform.pools.iter().filter(|pool| pool.size().is_none()) {
        report.add(At::Pool(pool.name.clone(), "vmSize"), format!("the size `{}` is not known", pool.vm_size));
    }
}
