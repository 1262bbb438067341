//! Preemption: which pods of lower priority would have to go so that the pod fits.
//!
//! After `pkg/scheduler/framework/preemption` and `plugins/defaultpreemption` v1.36.3.

use std::sync::Arc;

use units::Timestamp;

use super::TieBreak;
use super::attempt::{Filtered, check_with_nominated};
use super::cluster::{Cluster, NodeState, PodOnNode};
use super::filters::{Filters, Rejection};
use super::outcome::{Preemption, fit_error};
use super::view::{BudgetView, PodView};

struct Candidate<'a> {
    node: &'a str,
    /// Most important first.
    victims: Vec<Arc<PodView>>,
    budget_violations: usize,
}

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

/// # Errors
/// Upstream's words for why preemption does not help.
pub(super) fn attempt(
    cluster: &Cluster,
    pod: &PodView,
    found: &Filtered,
    tie: &mut TieBreak,
) -> Result<Preemption, String> {
    eligible(cluster, pod, found)?;
    let nodes = cluster.nodes.len();
    let potential: Vec<usize> = found.rejected.iter().filter(|(_, r)| r.resolvable).map(|(index, _)| *index).collect();
    let (candidates, failed) = dry_run(cluster, pod, &found.filters, &potential, tie);
    if candidates.is_empty() {
        let unhelpful = nodes - failed.len();
        let absent = (unhelpful > 0).then_some((NOT_HELPFUL, unhelpful));
        let reasons = failed.iter().flat_map(|rejection| rejection.reasons().map(|reason| (reason, 1)));
        return Err(fit_error(nodes, None, reasons.chain(absent), ""));
    }
    let chosen = pick(cluster, candidates);
    Ok(Preemption {
        node: chosen.node.to_owned(),
        // Those that are on their way out already need no eviction.
        victims: chosen.victims.iter().filter(|victim| victim.deleting.is_none()).map(|victim| victim.key()).collect(),
        budget_violations: chosen.budget_violations,
    })
}

fn eligible(cluster: &Cluster, pod: &PodView, found: &Filtered) -> Result<(), String> {
    if cluster.context.never_preempts(pod) {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let Some(index) = pod.nominated_node.as_deref().and_then(|node| cluster.find(node)) else { return Ok(()) };
    let hopeless = found.rejected.iter().any(|(i, rejection)| *i == index && !rejection.resolvable);
    let priority = cluster.context.priority(pod);
    let leaving = |other: &PodOnNode| cluster.context.priority(&other.view) < priority && other.view.preempted;
    if !hopeless && cluster.nodes[index].pods.iter().any(leaving) {
        return Err("not eligible due to a terminating pod on the nominated node.".to_owned());
    }
    Ok(())
}

/// Tries the nodes one after the other, from a random one on, until there are enough candidates, of which one violates
/// no budget.
fn dry_run<'a>(
    cluster: &'a Cluster,
    pod: &PodView,
    filters: &Filters,
    potential: &[usize],
    tie: &mut TieBreak,
) -> (Vec<Candidate<'a>>, Vec<Rejection>) {
    let (mut peaceful, mut violating, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    if potential.is_empty() {
        return (peaceful, failed);
    }
    let (enough, offset) = draw(potential.len(), tie);
    for step in 0..potential.len() {
        let node = &cluster.nodes[potential[(offset + step) % potential.len()]];
        match victims(cluster, pod, filters.clone(), node) {
            Ok(candidate) if candidate.budget_violations == 0 => peaceful.push(candidate),
            Ok(candidate) => violating.push(candidate),
            Err(rejection) => failed.push(rejection),
        }
        if !peaceful.is_empty() && peaceful.len() + violating.len() >= enough {
            break;
        }
    }
    peaceful.append(&mut violating);
    (peaceful, failed)
}

/// How many candidates of so many nodes are enough, and from which node on they are looked for.
pub(super) fn draw(potential: usize, tie: &mut TieBreak) -> (usize, usize) {
    let enough = (potential / 10).max(100).min(potential);
    (enough, if potential > enough { tie.pick(potential) } else { 0 })
}

/// The fewest and least important pods that have to leave this node: all candidates go, then each that fits beside the
/// pod comes back, those protected by a budget first.
fn victims<'a>(
    cluster: &Cluster,
    pod: &PodView,
    filters: Filters,
    node: &'a NodeState,
) -> Result<Candidate<'a>, Rejection> {
    let priority = cluster.context.priority(pod);
    let mut potential: Vec<_> =
        node.pods.iter().filter(|other| cluster.context.priority(&other.view) < priority).cloned().collect();
    if potential.is_empty() {
        return Err(Rejection {
            filter: "DefaultPreemption",
            reason: "No preemption victims found for incoming pod".into(),
            more: Vec::new(),
            resolvable: false,
        });
    }
    let mut trial = Trial { cluster, node: node.clone(), filters };
    for other in &potential {
        trial.remove(other);
    }
    check_with_nominated(cluster, pod, &trial.filters, &trial.node)?;
    potential.sort_by_key(|other| importance(cluster, &other.view));
    let (protected, free) = split_by_budget(potential, &cluster.context.budgets);
    let mixed = !protected.is_empty() && !free.is_empty();
    let (mut victims, mut budget_violations) = (Vec::new(), 0);
    for (other, counts) in protected.iter().map(|p| (p, true)).chain(free.iter().map(|p| (p, false))) {
        trial.add(other);
        if check_with_nominated(cluster, pod, &trial.filters, &trial.node).is_err() {
            trial.remove(other);
            victims.push(Arc::clone(&other.view));
            budget_violations += usize::from(counts);
        }
    }
    if mixed {
        victims.sort_by_key(|victim| importance(cluster, victim));
    }
    if victims.is_empty() {
        // The filter had rejected the node and now accepts it with every pod back: a nominated pod stood in the way.
        return Err(Rejection {
            filter: "DefaultPreemption",
            reason: format!("expected at least one victim pod on node \"{}\"", node.name()).into(),
            more: Vec::new(),
            resolvable: false,
        });
    }
    Ok(Candidate { node: node.name(), victims, budget_violations })
}

struct Trial<'a> {
    cluster: &'a Cluster,
    node: NodeState,
    filters: Filters,
}

impl Trial<'_> {
    fn remove(&mut self, pod: &PodOnNode) {
        self.node.detach(&pod.view.namespace, &pod.view.name);
        self.filters.remove(&pod.view, self.cluster.classes.get(pod.class), &self.node);
    }

    fn add(&mut self, pod: &PodOnNode) {
        self.node.attach(pod.clone());
        self.filters.add(&pod.view, self.cluster.classes.get(pod.class), &self.node);
    }
}

/// Sorts the more important pod first: higher priority, then earlier start. A pod that has not started counts as
/// starting now, that is, last.
fn importance(cluster: &Cluster, pod: &PodView) -> (std::cmp::Reverse<i32>, Timestamp) {
    (std::cmp::Reverse(cluster.context.priority(pod)), pod.started.unwrap_or(Timestamp(i64::MAX)))
}

/// As `filterPodsWithPDBViolation`: pods whose eviction, in this order, would take a budget below zero.
fn split_by_budget(pods: Vec<PodOnNode>, budgets: &[BudgetView]) -> (Vec<PodOnNode>, Vec<PodOnNode>) {
    let mut allowed: Vec<i32> = budgets.iter().map(|budget| budget.disruptions_allowed).collect();
    pods.into_iter().partition(|pod| {
        let mut violated = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let counts = !pod.view.labels.is_empty()
                && !budget.selector.is_empty()
                && budget.covers(&pod.view)
                && !budget.disrupted.contains(&pod.view.name);
            if counts {
                *allowed -= 1;
                violated |= *allowed < 0;
            }
        }
        violated
    })
}

/// Fewest budget violations, then the lowest highest priority among the victims, then the lowest sum of priorities, the
/// fewest victims, the latest start of the most important ones; the first by name where all are equal.
fn pick<'a>(cluster: &Cluster, mut candidates: Vec<Candidate<'a>>) -> Candidate<'a> {
    let priority = |victim: &Arc<PodView>| i64::from(cluster.context.priority(victim));
    let rank = |candidate: &Candidate<'_>| {
        let highest = priority(&candidate.victims[0]);
        let sum: i64 = candidate.victims.iter().map(|victim| priority(victim) + (1 << 31)).sum();
        let top = candidate.victims.iter().map(priority).max().unwrap_or(i64::MIN);
        let earliest = candidate
            .victims
            .iter()
            .filter(|victim| priority(victim) == top)
            .map(|victim| victim.started.unwrap_or(Timestamp(i64::MAX)))
            .min();
        (candidate.budget_violations, highest, sum, candidate.victims.len(), std::cmp::Reverse(earliest))
    };
    candidates.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.node.cmp(b.node)));
    candidates.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use units::Millicores;

    use super::*;
    use crate::scheduling::view::NodeView;
    use crate::scheduling::{Placement, Profile, schedule};

    fn pod(name: &str, priority: i32, node: Option<&str>) -> PodView {
        let (namespace, node) = ("d".to_owned(), node.map(Into::into));
        let mut view = PodView { namespace, name: name.into(), priority: Some(priority), node, ..PodView::default() };
        view.requests.cpu = Millicores(100);
        view
    }

    /// A pod of priority 5 that was promised a node which another one fills: whose place it takes, or why nobody's.
    fn check(other: PodView, expected: Result<&str, &str>) {
        let mut cluster = Cluster::new();
        let mut node = NodeView::new("n0");
        node.allocatable.cpu = Millicores(100);
        cluster.upsert_node(node);
        cluster.upsert_pod(other);
        let wanting = PodView { nominated_node: Some("n0".into()), ..pod("wanting", 5, None) };
        let placement = schedule(&cluster, &wanting, &Profile::default(), &mut TieBreak::new(1)).placement;
        let Placement::Unschedulable { message, preemption, .. } = placement else { panic!("{placement:?}") };
        match expected {
            Ok(victim) => assert_eq!(preemption.expect(&message).victims[0].name, victim),
            Err(words) => {
                assert!(preemption.is_none() && message.contains(words), "{message}");
            }
        }
    }

    #[test]
    fn a_pod_waits_for_those_that_leave_for_it_and_for_nobody_else() {
        let waits = Err("not eligible due to a terminating pod on the nominated node.");
        let preempted = |priority| PodView { preempted: true, ..pod("other", priority, Some("n0")) };
        check(preempted(4), waits);
        check(pod("other", 4, Some("n0")), Ok("other"));
        check(preempted(5), Err("No preemption victims found for incoming pod"));
        check(preempted(6), Err("No preemption victims found for incoming pod"));
    }
}
