//! A user pool below AKS's minimum.

use crate::{At, Context, Report, Rule, Severity, prices};

pub(super) const RULE: Rule = Rule {
    id: "user-pool-size",
    severity: Severity::Error,
    why: "AKS refuses user pools with fewer than 2 vCPUs or less than 2 GB; nodes of 1 GiB come up and then evict their own daemons.",
    example: "vmSize: Standard_B2ats_v2, which has 1 GiB",
    advice: "Choose a size with at least 2 vCPUs and 2 GiB.",
    check,
};

/// AKS "Quotas, virtual machine size restrictions" (2026-08-03); Azure/AKS#4156 for the sizes of 1 GiB.
fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in context.platform.pools.iter().filter(|pool| !pool.system) {
        let Some(size) = pool.size().filter(|size| size.vcpus < 2 || size.memory_mib < 2048) else { continue };
        let message =
            format!("`{}` has {} vCPU and {} MiB, less than AKS's 2 and 2048", size.name, size.vcpus, size.memory_mib);
        let enough = |other: &platform::Size| other.vcpus >= 2 && other.memory_mib >= 2048 && other.retires.is_none();
        let alternative = prices::alternative(size.name, &context.platform.cluster.location, enough);
        report.add_with(At::Pool(pool.name.clone(), "vmSize"), message, alternative);
    }
}
