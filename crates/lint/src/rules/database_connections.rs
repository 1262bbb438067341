//! More connections than the database has.

use platform::Workload;

use crate::context::containers;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "database-connections",
    severity: Severity::Error,
    why: "Replicas times pool size above the server's limit turns the load that made the HPA scale out into refused connections.",
    example: "eleven pods (ten and the surge) with DATABASE_POOL_SIZE=5 on B1ms, which has 35",
    advice: "Lower the pool size or the maximum, put a connection pooler between, or choose a larger server.",
    check,
};

/// Names under which a pool's size is commonly configured.
const POOL_VARIABLES: [&str; 7] = [
    "DATABASE_POOL_SIZE",
    "DB_POOL_SIZE",
    "DB_POOL",
    "PGPOOL_MAX",
    "SQLALCHEMY_POOL_SIZE",
    "DATABASE_MAX_CONNECTIONS",
    "RAILS_MAX_THREADS",
];

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let Some(database) = &context.platform.database else { return };
    let Ok(limit) = database.user_connections() else { return };
    let mut total = 0_u64;
    let mut parts = Vec::new();
    let mut first = None;
    for workload in &context.platform.workloads {
        let Some((pointer, size)) = pool_size(context, workload) else { continue };
        let max = context.platform.replica_bounds(workload).1;
        let pods = u64::from(max) + u64::from(workload.surge_at(max));
        total = total.saturating_add(pods.saturating_mul(size));
        parts.push(format!("{pods} pods of {} × {size}", workload.name));
        first.get_or_insert(At::object(workload.object, pointer));
    }
    let Some(at) = first.filter(|_| total > u64::from(limit)) else { return };
    let message = format!("{} are {total} connections, and {} has {limit}", parts.join(" and "), database.size);
    report.add(at, message);
}

/// The pool's size with the field it is set in, literally or through a ConfigMap.
fn pool_size(context: &Context<'_>, workload: &Workload) -> Option<(String, u64)> {
    for (pointer, container) in containers(workload) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            if !POOL_VARIABLES.contains(&variable.name.as_str()) {
                continue;
            }
            let field = format!("{pointer}/env/{index}");
            if let Some(size) = variable.value.as_deref().and_then(|value| value.trim().parse().ok()) {
                return Some((field, size));
            }
            let key = variable.value_from.as_ref().and_then(|from| from.config_map_key_ref.as_ref());
            let value = key.and_then(|key| {
                let map = context.object("ConfigMap", &workload.namespace, &key.name)?;
                map["data"][&key.key].as_str()?.trim().parse().ok()
            });
            if let Some(size) = value {
                return Some((field, size));
            }
        }
    }
    None
}
