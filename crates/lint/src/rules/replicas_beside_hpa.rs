//! A number of replicas that an autoscaler rules.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "replicas-beside-hpa",
    severity: Severity::Error,
    why: "Every deployment sets the replicas back to the manifest's number, in the middle of whatever load the HPA was serving.",
    example: "replicas: 3 in a Deployment that an HPA scales",
    advice: "Leave `replicas` out of the manifest; the HPA owns it.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| workload.replicas.is_some()) {
        if let Some(hpa) = context.platform.hpa_of(workload) {
            let message = format!("sets `replicas`, which the HPA {} rules", hpa.name);
            report.add(At::object(workload.object, "/spec/replicas"), message);
        }
    }
}
