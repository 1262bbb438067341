//! A system pool of a size that AKS does not support for it.

use crate::{At, Context, Report, Rule, Severity, prices};

pub(super) const RULE: Rule = Rule {
    id: "system-pool-size",
    severity: Severity::Warning,
    why: "AKS documents system pools as needing at least 4 vCPUs and 4 GB and no B series; it may refuse the pool, and support may refuse the cluster.",
    example: "mode: system with vmSize: Standard_B2s",
    advice: "Choose a size of at least 4 vCPUs outside the B series for the system pool.",
    check,
};

/// AKS "Use system node pools" (2026-04-30) and "Quotas, virtual machine size restrictions" (2026-08-03).
fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in context.platform.pools.iter().filter(|pool| pool.system) {
        let Some(size) = pool.size() else { continue };
        let burstable = size.credits.is_some();
        if !burstable && size.vcpus >= 4 && size.memory_mib >= 4096 {
            continue;
        }
        let reason = if burstable { "B series" } else { "fewer than 4 vCPUs" };
        let message = format!("`{}` is {reason}, which AKS documents as unsupported for system pools", size.name);
        let supported =
            |other: &platform::Size| other.credits.is_none() && other.vcpus >= 4 && other.memory_mib >= 4096;
        let alternative = prices::alternative(size.name, &context.platform.cluster.location, supported);
        report.add_with(At::Pool(pool.name.clone(), "vmSize"), message, alternative);
    }
}
