//! Pods that keep things on a node.

use crate::context::{TEMPLATE, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "host-path",
    severity: Severity::Warning,
    why: "A hostPath opens the node's files to the pod, is gone when the autoscaler removes the node, and keeps it from being removed.",
    example: "volumes: [{name: data, hostPath: {path: /var/data}}]",
    advice: "Use a PersistentVolumeClaim, or an emptyDir for what may be lost.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    // Daemons look after their node, and go with it.
    let workloads = context.platform.workloads.iter().filter(|workload| workload.kind != "DaemonSet");
    for workload in workloads.filter(|workload| has_template(context.platform, workload)) {
        for (index, volume) in workload.pod_spec().volumes.iter().flatten().enumerate() {
            let Some(path) = &volume.host_path else { continue };
            let field = format!("{TEMPLATE}/spec/volumes/{index}/hostPath");
            report.add(At::object(workload.object, field), format!("mounts {} of the node", path.path));
        }
    }
}
