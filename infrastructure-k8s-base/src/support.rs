//! What Azure documents as unsupported although it may accept it.

use crate::config::{Config, PoolMode, Problem};

/// Findings, each with the alternative. Prices are eastus, pay as you go, 730 hours, of June 2026.
///
/// Sources: AKS "Use system node pools" and "Quotas, virtual machine size restrictions" (2026), Azure "Retired VM sizes".
pub fn unsupported(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, pool) in &config.node_pools {
        let mut report = |sub: &str, problem: &str| {
            problems.push(Problem {
                field: format!("nodePools.{name}.{sub}"),
                problem: format!("`{}`: {problem}", pool.vm_size),
            });
        };
        if is_first_generation_b(&pool.vm_size) {
            report(
                "vmSize",
                "this series retires on 2028-11-15; Standard_B2als_v2 costs $27.45 a month instead of $30.37 and has half as much base CPU again",
            );
        }
        if pool.mode != PoolMode::System {
            continue;
        }
        if pool.vm_size.starts_with("Standard_B") {
            report(
                "vmSize",
                "AKS documents B series as unsupported for system pools; Standard_D4als_v6 ($117.53 a month) is the smallest class it documents as supported",
            );
        }
        if pool.count.or(pool.min).unwrap_or(0) < 2 {
            report("count", "AKS documents at least two nodes for a system pool; a second one costs as much again");
        }
    }
    problems
}

/// `Standard_B2s` and its family have no `_v2`.
fn is_first_generation_b(size: &str) -> bool {
    size.starts_with("Standard_B") && !size.contains("_v")
}
