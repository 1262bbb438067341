//! What must hold of a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Finding, Findings, State, placement, state};
use crate::nodes::{Decision, ScaleDownReason, Snapshot};
use crate::scheduling::view::{PodPhase, PodView};
use crate::scheduling::{Outcome, Placement};

/// What is wrong with binding the pod as the outcome says: the new placement itself, and whatever it breaks that was in
/// order before. For preemption, the victims are gone.
pub fn outcome(before: &State, pod: &PodView, outcome: &Outcome) -> Vec<Finding> {
    let (node, victims) = match &outcome.placement {
        Placement::Bound { node, .. } => (node, &[] as &[_]),
        Placement::Unschedulable { preemption: Some(preemption), .. } => (&preemption.node, &preemption.victims[..]),
        Placement::Unschedulable { .. } | Placement::Gated { .. } => return Vec::new(),
    };
    let mut findings = Findings::default();
    match before.nodes.iter().find(|view| view.name == *node) {
        Some(view) => placement::at_binding(&mut findings, pod, view),
        None => findings.note("binding.node", format!("{} goes to {node}, which is not there", pod.key())),
    }
    for victim in victims {
        let view = before.pods.iter().find(|other| other.key() == *victim);
        findings.unless(view.is_some_and(|view| view.node.as_ref() == Some(node)), "preemption.victim", || {
            format!("{victim} is not on {node}")
        });
        let weaker = view.is_some_and(|view| view.priority.unwrap_or(0) < pod.priority.unwrap_or(0));
        findings.unless(weaker, "preemption.priority", || format!("{victim} is as important as {}", pod.key()));
    }
    let mut after = before.clone();
    after.pods.retain(|other| !victims.contains(&other.key()) && other.key() != pod.key());
    let bound = PodView { node: Some(node.clone()), phase: PodPhase::Running, ..pod.clone() };
    after.pods.push(Arc::new(bound));
    let known: BTreeSet<Finding> = state(before).into_iter().collect();
    findings.0.extend(state(&after).into_iter().filter(|finding| !known.contains(finding)));
    findings.0
}

/// What is wrong with a decision of the node autoscaler on this snapshot.
pub fn node_decision(snapshot: &Snapshot, decision: &Decision) -> Vec<Finding> {
    let mut findings = Findings::default();
    let groups: BTreeMap<_, _> = snapshot.groups.iter().map(|group| (group.name.as_str(), group)).collect();
    let mut grown = BTreeSet::new();
    for up in &decision.scale_ups {
        let name = &up.group;
        findings.unless(grown.insert(name), "scale-up.once", || format!("{name} grows twice"));
        let Some(group) = groups.get(name.as_str()) else {
            findings.note("scale-up.group", format!("there is no group {name}"));
            continue;
        };
        let size = group.target_size - given_up_before(decision, name);
        findings.unless(up.from == size && up.to > up.from, "scale-up.size", || {
            format!("{name} is said to grow from {} to {} and has {size}", up.from, up.to)
        });
        findings.unless(up.to <= group.max, "scale-up.max", || format!("{name} grows to {} of {}", up.to, group.max));
        for key in &up.pods {
            let known = snapshot.pods.iter().any(|pod| pod.key() == *key);
            findings.unless(known, "scale-up.pod", || format!("{name} grows for {key}, which is not there"));
        }
    }
    scale_downs(&mut findings, snapshot, decision);
    for node in &decision.unneeded {
        let known = snapshot.nodes.iter().any(|view| view.name == node.node);
        findings.unless(known, "unneeded.node", || format!("{} is not there", node.node));
    }
    findings.unless(decision.next >= snapshot.now, "next", || "the next loop lies in the past".to_owned());
    findings.0
}

/// Instances that never became nodes are deleted before anything grows.
fn given_up_before(decision: &Decision, group: &str) -> i32 {
    let never_there = [ScaleDownReason::Unregistered, ScaleDownReason::CreationFailed];
    let downs = decision.scale_downs.iter().filter(|down| down.group == group && never_there.contains(&down.reason));
    downs.count() as i32
}

fn scale_downs(findings: &mut Findings, snapshot: &Snapshot, decision: &Decision) {
    let mut sizes: BTreeMap<_, _> =
        snapshot.groups.iter().map(|group| (group.name.as_str(), (group.target_size, group))).collect();
    let mut gone = BTreeSet::new();
    for down in &decision.scale_downs {
        let (name, node) = (&down.group, &down.node);
        findings.unless(gone.insert(node), "scale-down.once", || format!("{node} is deleted twice"));
        let Some((size, group)) = sizes.get_mut(name.as_str()) else {
            findings.note("scale-down.group", format!("there is no group {name}"));
            continue;
        };
        *size -= 1;
        let allowed = *size >= group.min || down.reason == ScaleDownReason::CreationFailed;
        findings.unless(allowed, "scale-down.min", || format!("{name} shrinks to {size} of {}", group.min));
        let member = group.instances.iter().any(|instance| instance.name == *node);
        findings.unless(member, "scale-down.node", || format!("{node} is not in {name}"));
        let on_node: BTreeSet<_> = snapshot
            .pods
            .iter()
            .filter(|pod| pod.node.as_ref() == Some(node) && !pod.is_terminal())
            .map(|pod| pod.key())
            .collect();
        for key in down.evict.iter().chain(&down.evict_daemons) {
            findings.unless(on_node.contains(key), "scale-down.pod", || format!("{key} is not on {node}"));
        }
        if down.reason == ScaleDownReason::Empty {
            findings.unless(down.evict.is_empty(), "scale-down.empty", || format!("{node} is not empty"));
        }
        for budget in &snapshot.budgets {
            let evicted = |pod: &&Arc<PodView>| down.evict.contains(&pod.key()) && budget.covers(pod);
            let covered = snapshot.pods.iter().filter(evicted).count();
            let safe = |pod: &Arc<PodView>| {
                pod.annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict").is_some_and(|v| v == "true")
            };
            let all_safe = snapshot.pods.iter().filter(evicted).all(safe);
            let kept = covered == 0 || all_safe || budget.disruptions_allowed > 0;
            findings.unless(kept, "scale-down.budget", || format!("{node} goes against budget {}", budget.name));
        }
    }
}
