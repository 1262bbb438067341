//! Whether one pod may be on one node.

use super::Findings;
use crate::scheduling::view::{NodeView, PodView, Taint, TaintEffect};

/// Taints that a node gets while pods are on it and that do not drive off what is there.
fn comes_later(taint: &Taint) -> bool {
    taint.effect == TaintEffect::PreferNoSchedule
        || taint.key.starts_with("node.kubernetes.io/")
        || taint.key.starts_with("node.cloudprovider.kubernetes.io/")
        || taint.key == "ToBeDeletedByClusterAutoscaler"
}

/// What must hold for as long as the pod is there.
pub(super) fn lasting(findings: &mut Findings, pod: &PodView, node: &NodeView) {
    let (key, name) = (pod.key(), &node.name);
    for taint in node.taints.iter().filter(|taint| !comes_later(taint) && !pod.tolerates(taint)) {
        findings.note("pod.taint", format!("{key} does not tolerate {} of {name}", taint.key));
    }
    let selected = pod.node_selector.iter().all(|(label, value)| node.labels.get(label) == Some(value));
    let wanted = pod.node_affinity.as_ref();
    let wanted = wanted.is_none_or(|terms| terms.iter().any(|term| term.matches(name, &node.labels)));
    findings.unless(selected && wanted, "pod.node-affinity", || format!("{key} does not select {name}"));
    findings.unless(pod.gates.is_empty(), "pod.gates", || format!("{key} is on {name} in spite of its gates"));
}

/// What must hold at the moment of binding, in addition.
pub(super) fn at_binding(findings: &mut Findings, pod: &PodView, node: &NodeView) {
    let (key, name) = (pod.key(), &node.name);
    let mut kept_off = node.taints.clone();
    if node.unschedulable {
        kept_off.push(Taint::new("node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule));
    }
    kept_off.retain(|taint| taint.effect != TaintEffect::PreferNoSchedule && !pod.tolerates(taint));
    for taint in kept_off {
        findings.note("binding.taint", format!("{key} does not tolerate {} of {name}", taint.key));
    }
}
