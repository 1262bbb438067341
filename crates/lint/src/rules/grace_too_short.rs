//! A pod that is killed before its own farewell is over.

use crate::context::{TEMPLATE, containers};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "grace-too-short",
    severity: Severity::Warning,
    why: "The preStop hook counts against the grace period: when it takes all of it, the process is killed without a chance to finish its requests.",
    example: "preStop sleep of 30 s with the default grace period of 30 s",
    advice: "Make terminationGracePeriodSeconds longer than preStop plus the drain.",
    check,
};

const DEFAULT_SECONDS: i64 = 30;

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        let grace = workload.pod_spec().termination_grace_period_seconds.unwrap_or(DEFAULT_SECONDS);
        for (_, container) in containers(workload) {
            let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
            let Some(sleep) = hook.and_then(|hook| hook.sleep.as_ref()).map(|sleep| sleep.seconds) else { continue };
            if sleep >= grace {
                let message = format!("container {} sleeps {sleep} s of the {grace} s that it has", container.name);
                let field = format!("{TEMPLATE}/spec/terminationGracePeriodSeconds");
                report.add(At::object(workload.object, field), message);
            }
        }
    }
}
