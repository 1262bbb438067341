//! A pool whose taint keeps its own pods away.

use platform::POOL_LABEL;

use crate::context::{TEMPLATE, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "untolerated-taint",
    severity: Severity::Error,
    why: "Pods that must run on a pool and do not tolerate its taint stay Pending beside empty nodes.",
    example: "affinity for the pool backend without a toleration of marea.dev/pool=backend:NoSchedule",
    advice: "Add the toleration to the pod template.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        let named = workload.required_labels.get(POOL_LABEL).into_iter().flatten();
        for pool in named
            .filter_map(|name| context.platform.pools.iter().find(|pool| pool.labels.get(POOL_LABEL) == Some(name)))
        {
            for taint in pool.taints.iter().filter(|taint| !workload.tolerates(taint)) {
                let field = if has_template(context.platform, workload) { TEMPLATE } else { "" };
                let message = format!("asks for the pool `{}` and does not tolerate its taint `{taint}`", pool.name);
                report.add(At::object(workload.object, format!("{field}/spec/tolerations")), message);
            }
        }
    }
}
