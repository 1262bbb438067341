//! Burst credits that cannot carry what an autoscaler asks for.

use units::Millicores;

use crate::{At, Context, Report, Rule, Severity, prices};

pub(super) const RULE: Rule = Rule {
    id: "pool-credits",
    severity: Severity::Warning,
    why: "A burstable machine without credits falls to a fraction of its vCPUs while Kubernetes still counts all of them: a CPU target is never reached, and the HPA stands still in front of a slow application.",
    example: "ten replicas of 500m at 70 % on five Standard_B2s, which sustain 0.4 vCPU each",
    advice: "Choose a size whose base carries the load, allow more nodes, or plan for the hours that the credits last.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for pool in &context.platform.pools {
        let Some(size) = pool.size() else { continue };
        let Some(credits) = size.credits else { continue };
        let nodes = i64::from(pool.scaling.max());
        let mut asked = 0_i64;
        let mut who = Vec::new();
        for hpa in &context.platform.hpas {
            let Some(target) = context.platform.target_of(hpa) else { continue };
            let Some(percent) = hpa.utilization_percent.get("cpu") else { continue };
            let pools = context.pools_of(target);
            if pools.len() == 1 && pools[0].name == pool.name {
                let load = target.cpu.0.saturating_mul(i64::from(hpa.max)).saturating_mul(i64::from(*percent)) / 100;
                asked = asked.saturating_add(load);
                who.push(format!("{} replicas of {} at {percent} %", hpa.max, target.name));
            }
        }
        let sustained = Millicores(credits.base.0.saturating_mul(nodes));
        if asked <= sustained.0 {
            continue;
        }
        let message = format!(
            "{} use {asked}m, and without credits {nodes} × {} sustain {}m; a full bank lasts {}",
            who.join(" and "),
            size.name,
            sustained.0,
            lasting(credits.max, asked, nodes, sustained.0),
        );
        let enough = |other: &platform::Size| {
            let base = other.credits.map_or(other.cpu_capacity(), |credits| credits.base);
            other.vcpus >= size.vcpus && other.memory_mib >= size.memory_mib && base.0.saturating_mul(nodes) >= asked
        };
        let alternative = prices::alternative(size.name, &context.platform.cluster.location, enough)
            .map(|text| format!("{text} and carries it without credits"));
        report.add_with(At::Pool(pool.name.clone(), "vmSize"), message, alternative);
    }
}

/// One credit is a vCPU-minute; the whole pool spends what it uses above its base.
fn lasting(max_credits: i64, asked: i64, nodes: i64, sustained: i64) -> String {
    let minutes = max_credits.saturating_mul(nodes).saturating_mul(1000) / (asked - sustained).max(1);
    format!("{}.{} h", minutes / 60, minutes % 60 * 10 / 60)
}
