//! Policies that leave pods without name resolution.

use crate::policies::{Direction, Peer, Port, allows, ruling};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "network-policy-cuts-dns",
    severity: Severity::Warning,
    why: "A pod that may connect somewhere and may not ask CoreDNS where that is finds nothing by name; the errors speak of unknown hosts.",
    example: "egress to port 5432 only, without UDP and TCP 53 to kube-system",
    advice: "Admit egress to CoreDNS (k8s-app: kube-dns in kube-system) on UDP and TCP 53.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        // Who may connect nowhere needs no names.
        let policies: Vec<_> = ruling(context, workload, Direction::Egress).collect();
        let speaking = policies.iter().find(|(_, policy)| {
            policy.spec.as_ref().and_then(|spec| spec.egress.as_ref()).is_some_and(|rules| !rules.is_empty())
        });
        let Some((index, _)) = speaking else { continue };
        let dns = Port { protocol: "UDP", number: 53 };
        if !allows(context, workload, Direction::Egress, Peer::Dns, dns) {
            let message = format!("lets {}/{} connect, but not ask for names", workload.namespace, workload.name);
            report.add(At::object(*index, "/spec/egress"), message);
        }
    }
}
