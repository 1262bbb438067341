//! One attempt: filter, score, choose; where nothing fits, see whether preemption helps.

use std::sync::Arc;

use super::cluster::{Cluster, NodeState, PodClass, ShapeId};
use super::filters::{Filters, Rejection, Verdict};
use super::outcome::{NodeResult, NodeVerdict, Outcome, Placement, Preemption, fit_error};
use super::scores::{self, PluginScores};
use super::view::PodView;
use super::{Profile, TieBreak, preemption};
use crate::report::{Reason, Report};

/// What the filters said of the nodes that were looked at.
pub(super) struct Filtered {
    pub(super) filters: Filters,
    /// Indices of nodes, in the order in which they were found.
    pub(super) feasible: Vec<usize>,
    pub(super) rejected: Vec<(usize, Rejection)>,
}

/// Decides where the pod runs.
///
/// A pod that is already bound or has scheduling gates is not decided upon again: its gates or its node are the outcome.
pub fn schedule(cluster: &Cluster, pod: &PodView, profile: &Profile, tie: &mut TieBreak) -> Outcome {
    if !pod.gates.is_empty() {
        let message = format!("waiting for scheduling gates: [{}]", pod.gates.join(" "));
        let report = Report::new(format!("{} is {message}", pod.key()));
        return Outcome { placement: Placement::Gated { message }, nodes: Vec::new(), report };
    }
    if cluster.nodes.is_empty() {
        return without_nodes(pod);
    }
    match filter(cluster, pod, profile, tie) {
        Err(rejection) => unschedulable(cluster, pod, Err(&rejection), tie),
        Ok(filtered) if filtered.feasible.is_empty() => unschedulable(cluster, pod, Ok(&filtered), tie),
        Ok(filtered) => bound(cluster, pod, &filtered, tie),
    }
}

/// Like [`schedule`] for the caller who only wants the node: no report, no preemption.
pub fn place<'a>(cluster: &'a Cluster, pod: &PodView, profile: &Profile, tie: &mut TieBreak) -> Option<&'a str> {
    if !pod.gates.is_empty() {
        return None;
    }
    let filtered = filter(cluster, pod, profile, tie).ok()?;
    choose(cluster, pod, &filtered.feasible, tie).map(|index| cluster.nodes[index].name())
}

/// The best of these nodes.
fn choose(cluster: &Cluster, pod: &PodView, feasible: &[usize], tie: &mut TieBreak) -> Option<usize> {
    match feasible {
        [] => None,
        [only] => Some(*only),
        feasible => {
            let nodes: Vec<_> = feasible.iter().map(|index| &*cluster.nodes[*index]).collect();
            let totals = totals(&scores::run(cluster, pod, &nodes), nodes.len());
            let best = best(&totals);
            // As `bound` draws, so that both leave the same source of chance behind.
            let chosen = if best.len() == 1 { 0 } else { tie.pick(best.len()) };
            Some(feasible[best[chosen]])
        }
    }
}

/// What [`try_place`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt {
    Bound {
        node: String,
    },
    /// As in [`Placement::Unschedulable`].
    Unschedulable {
        filters: Vec<String>,
        preemption: Option<Preemption>,
    },
    Gated,
}

/// Like [`schedule`], without the words: for the caller who keeps a large cluster and asks again and again for pods that
/// are alike. What the filters say of a node is kept in the cluster until the node changes.
pub fn try_place(cluster: &mut Cluster, pod: &Arc<PodView>, profile: &Profile, tie: &mut TieBreak) -> Attempt {
    if pod.gates.is_empty()
        && pod.node.is_none()
        && cluster.nominated.is_empty()
        && let Ok(filters) = Filters::prepare(cluster, pod)
        && filters.are_local()
        && let Some(shape) = cluster.verdicts.shape(pod)
    {
        let before = tie.clone();
        if let Some(attempt) = try_local(cluster, pod, shape, &filters, profile, tie) {
            return attempt;
        }
        *tie = before;
    }
    match schedule(cluster, pod, profile, tie).placement {
        Placement::Bound { node, .. } => Attempt::Bound { node },
        Placement::Unschedulable { filters, preemption, .. } => Attempt::Unschedulable { filters, preemption },
        Placement::Gated { .. } => Attempt::Gated,
    }
}

/// `None`: pods of lower priority might have to leave, which needs a closer look.
fn try_local(
    cluster: &mut Cluster,
    pod: &Arc<PodView>,
    shape: ShapeId,
    filters: &Filters,
    profile: &Profile,
    tie: &mut TieBreak,
) -> Option<Attempt> {
    let count = cluster.nodes.len();
    let (wanted, start) = (profile.nodes_to_find(count), tie.start(count));
    let (mut feasible, mut rejected, mut resolvable, mut by_filter) = (Vec::new(), 0, 0, 0_u32);
    for index in (start..count).chain(0..start) {
        let code = cluster.verdict(shape, pod, filters, index);
        if let Some(filter) = code.filter() {
            by_filter |= 1 << filter;
            rejected += 1;
            resolvable += usize::from(code.is_resolvable());
        } else {
            feasible.push(index);
            if feasible.len() == wanted {
                break;
            }
        }
    }
    tie.advance(feasible.len() + rejected, count);
    if let Some(index) = choose(cluster, pod, &feasible, tie) {
        return Some(Attempt::Bound { node: cluster.nodes[index].name().to_owned() });
    }
    let priority = cluster.context.priority(pod);
    let is_lower =
        |class: &PodClass| cluster.context.resolve_priority(class.priority, &class.priority_class) < priority;
    if cluster.nodes.is_empty() || cluster.classes.any(is_lower) {
        return None;
    }
    // Nobody could leave; upstream draws where it would begin to look all the same.
    if !cluster.context.never_preempts(pod) {
        preemption::draw(resolvable, tie);
    }
    let mut filters: Vec<String> = (0..u32::BITS as usize)
        .filter(|filter| by_filter & (1 << filter) != 0)
        .map(|f| Filters::name(f).to_owned())
        .collect();
    filters.sort_unstable();
    Some(Attempt::Unschedulable { filters, preemption: None })
}

/// Whether the pod passes every filter on one node; the message of the first that says no otherwise.
///
/// # Errors
/// With upstream's words for the first filter that rejects the node, or for the pod as a whole.
pub fn fits(cluster: &Cluster, pod: &PodView, node: &str) -> Result<(), String> {
    let index = cluster.find(node).ok_or_else(|| format!("node \"{node}\" not found"))?;
    let filters = Filters::prepare(cluster, pod).map_err(|rejection| rejection.message())?;
    check_with_nominated(cluster, pod, &filters, &cluster.nodes[index]).map_err(|rejection| rejection.message())
}

/// The first acceptable node that passes every filter, looking from `start` on; nominations are the caller's business.
/// For the node autoscaler, which asks whether a pod fits and not where it fits best.
pub(crate) fn first_fit(
    cluster: &Cluster,
    pod: &PodView,
    start: usize,
    acceptable: impl Fn(usize) -> bool,
) -> Result<usize, String> {
    let filters = Filters::prepare(cluster, pod).map_err(|rejection| rejection.message())?;
    let count = cluster.nodes.len();
    let mut last = None;
    for index in (0..count).map(|offset| (start + offset) % count) {
        let node = &cluster.nodes[index];
        let allowed = filters.only.as_ref().is_none_or(|only| only.contains(node.name()));
        if !allowed || !acceptable(index) {
            continue;
        }
        match filters.check(pod, node) {
            Ok(()) => return Ok(index),
            Err(rejection) => last = Some(rejection.message()),
        }
    }
    Err(last.unwrap_or_else(|| "no node is acceptable".to_owned()))
}

/// The same among these nodes only; the answer is an index into them.
pub(crate) fn first_fit_among(cluster: &Cluster, pod: &PodView, nodes: &[String], start: usize) -> Option<usize> {
    if nodes.is_empty() {
        return None;
    }
    let filters = Filters::prepare(cluster, pod).ok()?;
    (0..nodes.len()).map(|offset| (start + offset) % nodes.len()).find(|index| {
        let allowed = filters.only.as_ref().is_none_or(|only| only.contains(nodes[*index].as_str()));
        let node = cluster.find(&nodes[*index]).map(|node| &cluster.nodes[node]);
        allowed && node.is_some_and(|node| filters.check(pod, node).is_ok())
    })
}

/// # Errors
/// When no node can do, whatever it has free.
fn filter(cluster: &Cluster, pod: &PodView, profile: &Profile, tie: &mut TieBreak) -> Result<Filtered, Rejection> {
    let filters = Filters::prepare(cluster, pod)?;
    // A pod for which room was made takes that node where it can, without a look at the others.
    if let Some(index) = pod.nominated_node.as_deref().and_then(|node| cluster.find(node)) {
        let node = &cluster.nodes[index];
        let allowed = filters.only.as_ref().is_none_or(|only| only.contains(node.name()));
        if allowed && check_with_nominated(cluster, pod, &filters, node).is_ok() {
            return Ok(Filtered { filters, feasible: vec![index], rejected: Vec::new() });
        }
    }
    let candidates: Option<Vec<usize>> =
        filters.only.as_ref().map(|only| only.iter().filter_map(|name| cluster.find(name)).collect());
    let count = candidates.as_ref().map_or(cluster.nodes.len(), Vec::len);
    let wanted = profile.nodes_to_find(count);
    let start = tie.start(cluster.nodes.len());
    let mut found = Filtered { filters, feasible: Vec::with_capacity(wanted), rejected: Vec::new() };
    for offset in 0..count {
        let position = (start + offset) % count;
        let index = candidates.as_ref().map_or(position, |candidates| candidates[position]);
        match check_with_nominated(cluster, pod, &found.filters, &cluster.nodes[index]) {
            Ok(()) => found.feasible.push(index),
            Err(rejection) => found.rejected.push((index, rejection)),
        }
        if found.feasible.len() == wanted {
            break;
        }
    }
    tie.advance(found.feasible.len() + found.rejected.len(), cluster.nodes.len());
    Ok(found)
}

/// As `RunFilterPluginsWithNominatedPods`: the node must do with the pods of equal or higher priority that are to come
/// there, and also without them, since they may go elsewhere.
pub(super) fn check_with_nominated(cluster: &Cluster, pod: &PodView, filters: &Filters, node: &NodeState) -> Verdict {
    if cluster.nominated.is_empty() {
        return filters.check(pod, node);
    }
    let priority = cluster.context.priority(pod);
    let coming: Vec<_> = cluster
        .nominated
        .get(node.name())
        .into_iter()
        .flatten()
        .filter(|other| cluster.context.priority(other) >= priority && other.key() != pod.key())
        .collect();
    if !coming.is_empty() {
        let (mut node, mut filters) = (node.clone(), filters.clone());
        for other in coming {
            node.suppose(other);
            filters.add(other, &PodClass::of(other), &node);
        }
        filters.check(pod, &node)?;
    }
    filters.check(pod, node)
}

fn totals(plugins: &[PluginScores], nodes: usize) -> Vec<i64> {
    let mut totals = vec![0; nodes];
    for plugin in plugins {
        for (total, score) in totals.iter_mut().zip(&plugin.scores) {
            *total += score;
        }
    }
    totals
}

fn best(totals: &[i64]) -> Vec<usize> {
    let highest = totals.iter().copied().max().unwrap_or(0);
    (0..totals.len()).filter(|index| totals[*index] == highest).collect()
}

fn bound(cluster: &Cluster, pod: &PodView, filtered: &Filtered, tie: &mut TieBreak) -> Outcome {
    let nodes: Vec<_> = filtered.feasible.iter().map(|index| &*cluster.nodes[*index]).collect();
    // Upstream scores a single feasible node too rarely to matter; here its scores are part of the answer.
    let plugins = scores::run(cluster, pod, &nodes);
    let totals = totals(&plugins, nodes.len());
    let best = best(&totals);
    let chosen = best[if best.len() == 1 { 0 } else { tie.pick(best.len()) }];
    let mut results: Vec<NodeResult> = filtered.rejected.iter().map(|(i, r)| rejected(&cluster.nodes[*i], r)).collect();
    for (index, node) in nodes.iter().enumerate() {
        let scores = plugins.iter().map(|plugin| (plugin.name.to_owned(), plugin.scores[index])).collect();
        let verdict = NodeVerdict::Feasible { scores, total: totals[index] };
        results.push(NodeResult { node: node.name().to_owned(), verdict });
    }
    results.sort_by(|a, b| a.node.cmp(&b.node));
    let node = nodes[chosen].name();
    let mut names: Vec<String> = best.iter().map(|index| nodes[*index].name().to_owned()).collect();
    names.sort();
    let report = bound_report(cluster, pod, filtered, &plugins, (chosen, totals[chosen], names.len()), node);
    Outcome { placement: Placement::Bound { node: node.to_owned(), best: names }, nodes: results, report }
}

fn rejected(node: &NodeState, rejection: &Rejection) -> NodeResult {
    let verdict = NodeVerdict::Rejected { filter: rejection.filter.to_owned(), message: rejection.message() };
    NodeResult { node: node.name().to_owned(), verdict }
}

fn bound_report(
    cluster: &Cluster,
    pod: &PodView,
    filtered: &Filtered,
    plugins: &[PluginScores],
    (chosen, total, equals): (usize, i64, usize),
    node: &str,
) -> Report {
    let (feasible, nodes) = (filtered.feasible.len(), cluster.nodes.len());
    let mut report = Report::new(format!("{} goes to {node}: {feasible} of {nodes} nodes feasible", pod.key()));
    let mut reason = Reason::new("schedule.score", format!("{node} scores {total}"));
    for plugin in plugins {
        reason = reason.with(plugin.name, plugin.scores[chosen]);
    }
    report.push(reason.with("total", total));
    if equals > 1 {
        let text = format!("{equals} nodes score {total}; one of them was drawn");
        report.push(Reason::new("schedule.tie", text).with("nodes", equals));
    }
    if pod.nominated_node.as_deref() == Some(node) {
        report.push(Reason::new("schedule.nominated", format!("room had been made for it on {node}")));
    }
    push_filters(&mut report, filtered);
    report
}

fn push_filters(report: &mut Report, filtered: &Filtered) {
    let mut counts = std::collections::BTreeMap::<(&str, &str), usize>::new();
    for (_, rejection) in &filtered.rejected {
        for reason in rejection.reasons() {
            *counts.entry((rejection.filter, reason)).or_default() += 1;
        }
    }
    for ((filter, text), nodes) in counts {
        let text = format!("{nodes} node(s) ruled out: {text}");
        report.push(Reason::new(format!("schedule.filter.{filter}"), text).with("nodes", nodes));
    }
}

fn without_nodes(pod: &PodView) -> Outcome {
    let message = "no nodes available to schedule pods".to_owned();
    let report = Report::new(format!("{} cannot be scheduled: {message}", pod.key()));
    let placement = Placement::Unschedulable { message, filters: Vec::new(), preemption: None };
    Outcome { placement, nodes: Vec::new(), report }
}

fn unschedulable(
    cluster: &Cluster,
    pod: &PodView,
    filtered: Result<&Filtered, &Rejection>,
    tie: &mut TieBreak,
) -> Outcome {
    let count = cluster.nodes.len();
    let (message, attempt, mut filters, mut nodes) = match filtered {
        Err(rejection) => {
            // A rejection before any node leaves DynamicResources without its state; its `PostFilter` then fails with
            // these two words, and preemption is not asked any more.
            let message = fit_error(count, Some(&rejection.message()), [], "not found");
            let nodes = cluster.nodes.iter().map(|node| rejected(node, rejection)).collect::<Vec<_>>();
            (message, None, vec![rejection.filter.to_owned()], nodes)
        }
        Ok(found) => {
            let attempt = preemption::attempt(cluster, pod, found, tie);
            // DynamicResources, on by default, is asked before preemption and words its own failure first.
            let failure = attempt.as_ref().err();
            let afterwards =
                failure.map_or_else(String::new, |m| format!("no new claims to deallocate, preemption: {m}"));
            let unlooked = count - found.rejected.len();
            let absent = format!("node(s) didn't satisfy plugin(s) [{}]", found.filters.only_by.join(" "));
            let reasons = found.rejected.iter().flat_map(|(_, rejection)| rejection.reasons().map(|r| (r, 1)));
            let message = fit_error(
                count,
                None,
                reasons.chain((unlooked > 0).then_some((absent.as_str(), unlooked))),
                &afterwards,
            );
            let filters = found.rejected.iter().map(|(_, rejection)| rejection.filter.to_owned());
            let filters = filters.chain(found.filters.only_by.iter().map(|name| (*name).to_owned())).collect();
            (message, attempt.ok(), filters, node_results(cluster, found, &absent))
        }
    };
    filters.sort();
    filters.dedup();
    filters.retain(|name| !name.is_empty());
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    let mut report = Report::new(format!("{} cannot be scheduled: {message}", pod.key()));
    if let Ok(found) = filtered {
        push_filters(&mut report, found);
    }
    if let Some(preemption) = &attempt {
        let victims: Vec<String> = preemption.victims.iter().map(ToString::to_string).collect();
        let text = format!("evicting {} pod(s) from {} makes room", victims.len(), preemption.node);
        let reason = Reason::new("schedule.preemption", text).with("victims", victims);
        report.push(reason.with("budgetViolations", preemption.budget_violations));
    }
    Outcome { placement: Placement::Unschedulable { message, filters, preemption: attempt }, nodes, report }
}

/// What each node said; nodes that were ruled out together, because a filter allows only certain ones, say so.
fn node_results(cluster: &Cluster, found: &Filtered, absent: &str) -> Vec<NodeResult> {
    let mut results: Vec<_> = found.rejected.iter().map(|(i, r)| rejected(&cluster.nodes[*i], r)).collect();
    if let (Some(only), Some(filter)) = (&found.filters.only, found.filters.only_by.first()) {
        for node in cluster.nodes.iter().filter(|node| !only.contains(node.name())) {
            let verdict = NodeVerdict::Rejected { filter: (*filter).to_owned(), message: absent.to_owned() };
            results.push(NodeResult { node: node.name().to_owned(), verdict });
        }
    }
    results
}
