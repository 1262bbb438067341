//! Finding nodes without need, and deleting them when they have been so for long enough.
//!
//! After `core/scaledown/{eligibility,planner,unneeded,budgets,actuation}` of cluster-autoscaler 1.36.1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use units::{Millis, Timestamp};

use super::drain::{Budgets, Pods, evicted_daemons, is_long_terminating, pods_to_move};
use super::model::{Deletion, InstanceState, Memory, ScaleDown, ScaleDownReason, Unneeded};
use super::profile::Profile;
use super::world::World;
use crate::report::Reason;
use crate::scheduling::view::{NodeView, PodView};

pub(super) const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
pub(super) const CANDIDATE_TAINT: &str = "DeletionCandidateOfClusterAutoscaler";
const DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// A node that could not be removed is not looked at again for this long (`--unremovable-node-recheck-timeout`).
const RECHECK: Millis = Millis::from_secs(5 * 60);
/// Nodes with pods go one after the other (`--max-drain-parallelism`).
const DRAINS_AT_ONCE: usize = 1;

/// A node without need.
struct Removable {
    node: Arc<NodeView>,
    group: usize,
    pods: Pods,
    /// Its pods share a budget that does not let all of them go at once.
    risky: bool,
}

#[derive(Default)]
pub(super) struct Outcome {
    pub(super) scale_downs: Vec<ScaleDown>,
    pub(super) unneeded: Vec<Unneeded>,
    pub(super) reasons: Vec<Reason>,
}

pub(super) fn scale_down(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    not_started: &BTreeSet<String>,
    forbidden: bool,
) -> Outcome {
    let now = world.snapshot.now;
    let mut outcome = Outcome::default();
    let removable = find_unneeded(profile, world, memory, not_started, &mut outcome);
    let known = std::mem::take(&mut memory.unneeded_since);
    let since = |name: &String| known.get(name).copied().unwrap_or(now);
    memory.unneeded_since = removable.iter().map(|r| (r.node.name.clone(), since(&r.node.name))).collect();
    outcome.unneeded =
        memory.unneeded_since.iter().map(|(node, since)| Unneeded { node: node.clone(), since: *since }).collect();
    if let Some(reason) = cooldown(profile, memory, now, forbidden) {
        outcome.reasons.push(reason);
    } else {
        delete(profile, world, memory, &removable, &mut outcome);
    }
    outcome
}

/// Why nothing is deleted in this loop, whatever is without need.
fn cooldown(profile: &Profile, memory: &Memory, now: Timestamp, forbidden: bool) -> Option<Reason> {
    if forbidden {
        let text = "no scale-down in a loop that waits for more pods";
        return Some(Reason::new("nodes.scale-down.cooldown", text));
    }
    let waits = [
        ("scale-down-delay-after-add", memory.last_scale_up, profile.scale_down_delay_after_add),
        ("scale-down-delay-after-failure", memory.last_failed_delete, profile.scale_down_delay_after_failure),
        ("scale-down-delay-after-delete", memory.last_delete, profile.scale_down_delay_after_delete),
    ];
    let (setting, until) = waits
        .into_iter()
        .filter_map(|(setting, last, delay)| Some((setting, last? + delay)))
        .filter(|(_, until)| *until > now)
        .max_by_key(|(_, until)| *until)?;
    let text = format!("no scale-down for another {} s: {setting}", ((until - now).0 + 999) / 1000);
    Some(Reason::new("nodes.scale-down.cooldown", text).with("until", until.rfc3339()))
}

fn find_unneeded(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    not_started: &BTreeSet<String>,
    outcome: &mut Outcome,
) -> Vec<Removable> {
    let now = world.snapshot.now;
    memory.unremovable_until.retain(|node, until| *until > now && world.nodes.contains_key(node.as_str()));
    let mut budgets = Budgets::new(&world.snapshot.budgets);
    let mut removed: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    for (node, group) in candidates(profile, world, memory, not_started) {
        let mut note = |text: String| outcome.reasons.push(unremovable(&node.name, text));
        if found.len() >= candidate_limit(profile, memory) {
            note("enough nodes without need were found already".to_owned());
            break;
        }
        if let Err(reason) = is_eligible(profile, world, memory, &node) {
            note(reason);
            continue;
        }
        let pods = match pods_to_move(profile, &budgets, world.cluster.pods_on(&node.name), now) {
            Ok(pods) => pods,
            Err(reason) => {
                note(reason);
                memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
                continue;
            }
        };
        let acceptable = |name: &str| !removed.contains(name) && !not_started.contains(name);
        if let Err(pod) = world.try_remove(&node.name, &pods.moving, acceptable) {
            note(format!("no other node has room for {pod}"));
            memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
            continue;
        }
        let risky = !budgets.take(&pods.moving);
        removed.insert(node.name.clone());
        found.push(Removable { node, group, pods, risky });
    }
    found
}

fn unremovable(node: &str, text: String) -> Reason {
    Reason::new("nodes.scale-down.unremovable", format!("{node} stays: {text}")).with("node", node)
}

/// Nodes of groups above their minimum: empty ones first, then those that were without need before.
fn candidates(
    profile: &Profile,
    world: &World<'_>,
    memory: &Memory,
    not_started: &BTreeSet<String>,
) -> Vec<(Arc<NodeView>, usize)> {
    let budgets = Budgets::new(&world.snapshot.budgets);
    let mut list: Vec<_> = world
        .nodes
        .values()
        .filter(|node| !not_started.contains(&node.name) && !world.leaving.contains(node.name.as_str()))
        .filter_map(|node| Some((Arc::clone(node), world.group_of(&node.name)?)))
        .filter(|(_, group)| world.snapshot.groups[*group].target_size > world.snapshot.groups[*group].min)
        .collect();
    list.sort_by_cached_key(|(node, _)| {
        let pods = pods_to_move(profile, &budgets, world.cluster.pods_on(&node.name), world.snapshot.now);
        let empty = pods.is_ok_and(|pods| pods.moving.is_empty() && !pods.awaits_completion);
        (!empty, !memory.unneeded_since.contains_key(&node.name), node.name.clone())
    });
    list
}

/// As `unneededNodesLimit`: no more than can be deleted before the first of them has waited long enough.
fn candidate_limit(profile: &Profile, memory: &Memory) -> usize {
    let at_once = profile.max_empty_bulk_delete;
    let interval = profile.scan_interval.0.max(1);
    let loops = profile.scale_down_unneeded_time.0.max(interval) / interval;
    let most = at_once.saturating_mul(usize::try_from(loops).unwrap_or(usize::MAX)).saturating_add(at_once);
    (memory.unneeded_since.len() + 2 * at_once).min(most)
}

/// # Errors
/// With the reason why the node is not even considered.
fn is_eligible(profile: &Profile, world: &World<'_>, memory: &Memory, node: &NodeView) -> Result<(), String> {
    if memory.unremovable_until.contains_key(&node.name) {
        return Err("it could not be removed a short while ago".to_owned());
    }
    if node.annotations.get(DISABLED).is_some_and(|value| value == "true") {
        return Err(format!("annotation {DISABLED}"));
    }
    let (resource, used) = utilization(profile, world, node)?;
    if used > profile.scale_down_utilization_threshold {
        let (used, threshold) = (100.0 * used, 100.0 * profile.scale_down_utilization_threshold);
        return Err(format!("{resource} is requested to {used:.1} %, above {threshold} %"));
    }
    Ok(())
}

/// The larger of requested CPU and memory, as shares of allocatable.
fn utilization(profile: &Profile, world: &World<'_>, node: &NodeView) -> Result<(&'static str, f64), String> {
    let of = |resource: &'static str, total: i64, of_pod: fn(&PodView) -> i64| -> Result<f64, String> {
        if total == 0 {
            return Err(format!("{resource} is 0 at {}", node.name));
        }
        let (mut requested, mut daemons) = (0, 0);
        for pod in world.cluster.pods_on(&node.name) {
            if profile.ignore_daemonsets_utilization && pod.is_owned_by("DaemonSet") {
                daemons += of_pod(pod);
            } else if !is_long_terminating(pod, world.snapshot.now) {
                requested += of_pod(pod);
            }
        }
        Ok(requested as f64 / (total - daemons) as f64)
    };
    let cpu = of("cpu", node.allocatable.cpu.0, |pod| pod.requests.cpu.0)?;
    let memory = of("memory", node.allocatable.memory.0, |pod| pod.requests.memory.0)?;
    Ok(if cpu > memory { ("cpu", cpu) } else { ("memory", memory) })
}

fn delete(profile: &Profile, world: &World<'_>, memory: &mut Memory, removable: &[Removable], outcome: &mut Outcome) {
    let now = world.snapshot.now;
    let mut sizes = Sizes::new(world, memory);
    let (mut empty, mut draining, mut risky) = (Vec::new(), Vec::new(), Vec::new());
    let (without_pods, with_pods): (Vec<_>, Vec<_>) = removable.iter().partition(|r| r.pods.moving.is_empty());
    for candidate in without_pods.into_iter().chain(with_pods) {
        let since = memory.unneeded_since[&candidate.node.name];
        if let Err(reason) = may_go(profile, candidate, since, now) {
            outcome.reasons.push(unremovable(&candidate.node.name, reason));
        } else if !sizes.take(world, candidate.group) {
            outcome.reasons.push(unremovable(&candidate.node.name, "node group min size reached".to_owned()));
        } else if candidate.pods.awaits_completion {
            outcome.reasons.push(unremovable(&candidate.node.name, "a pod on it runs to completion".to_owned()));
        } else if candidate.pods.moving.is_empty() {
            empty.push(candidate);
        } else if candidate.risky {
            risky.push(candidate);
        } else {
            draining.push(candidate);
        }
    }
    draining.append(&mut risky);
    let drains = memory.deleting.values().filter(|deletion| deletion.drained).count();
    let free = profile.max_empty_bulk_delete.saturating_sub(memory.deleting.len());
    empty.truncate(free);
    draining.truncate((free - empty.len()).min(DRAINS_AT_ONCE.saturating_sub(drains)));
    let mut gone: BTreeMap<usize, i32> = BTreeMap::new();
    for candidate in empty.into_iter().chain(draining) {
        let count = gone.entry(candidate.group).or_default();
        *count += 1;
        let from = world.snapshot.groups[candidate.group].target_size - *count + 1;
        outcome.scale_downs.push(start(profile, world, memory, candidate, from));
    }
    if !outcome.scale_downs.is_empty() {
        memory.last_delete = Some(now);
    }
}

/// # Errors
/// With what the node still waits for.
fn may_go(profile: &Profile, candidate: &Removable, since: Timestamp, now: Timestamp) -> Result<(), String> {
    let (threshold, what) = if candidate.node.ready {
        (profile.scale_down_unneeded_time, "unneeded")
    } else {
        (profile.scale_down_unready_time, "unready")
    };
    if threshold.0 > 0 && since + threshold >= now {
        let (waited, needed) = ((now - since).0 / 1000, threshold.0 / 1000);
        return Err(format!("{what} for {waited} s of {needed} s"));
    }
    Ok(())
}

/// How many nodes the groups would have left.
struct Sizes(Vec<i32>);

impl Sizes {
    fn new(world: &World<'_>, memory: &Memory) -> Sizes {
        let in_progress =
            |name: &str| memory.deleting.values().filter(|deletion| deletion.group == name).count() as i32;
        Sizes(world.snapshot.groups.iter().map(|group| group.target_size - in_progress(&group.name)).collect())
    }

    fn take(&mut self, world: &World<'_>, group: usize) -> bool {
        let allowed = self.0[group] > world.snapshot.groups[group].min;
        self.0[group] -= i32::from(allowed);
        allowed
    }
}

fn start(profile: &Profile, world: &World<'_>, memory: &mut Memory, candidate: &Removable, from: i32) -> ScaleDown {
    let now = world.snapshot.now;
    let group = world.snapshot.groups[candidate.group].name.clone();
    let node = candidate.node.name.clone();
    let drained = !candidate.pods.moving.is_empty();
    memory.unneeded_since.remove(&node);
    memory.deleting.insert(node.clone(), Deletion { group: group.clone(), since: now, drained });
    let daemons_by_default = if drained {
        profile.daemonset_eviction_for_occupied_nodes
    } else {
        profile.daemonset_eviction_for_empty_nodes
    };
    let daemons: Vec<_> = evicted_daemons(&candidate.pods, daemons_by_default).map(|pod| pod.key()).collect();
    let reason = match (candidate.node.ready, drained) {
        (false, _) => ScaleDownReason::Unready,
        (true, false) => ScaleDownReason::Empty,
        (true, true) => ScaleDownReason::Underutilized,
    };
    ScaleDown {
        group,
        node,
        from,
        to: from - 1,
        reason,
        evict: candidate.pods.moving.iter().map(|pod| pod.key()).collect(),
        evict_daemons: daemons,
        grace_seconds: profile.max_graceful_termination.0 / 1000,
    }
}

/// Instances that never became nodes in time, as far as the groups' minimum allows, and those that the cloud could not
/// create.
pub(super) fn delete_failed_instances(
    world: &World<'_>,
    health: &[super::health::GroupHealth],
    profile: &Profile,
) -> Vec<ScaleDown> {
    let mut deletions = Vec::new();
    for (group, health) in world.snapshot.groups.iter().zip(health) {
        let mut size = group.target_size;
        let spare = usize::try_from(group.target_size - group.min).unwrap_or(0);
        let late = health.long_unregistered.iter().take(spare).map(|name| (name, ScaleDownReason::Unregistered));
        let failed = health.failed.iter().map(|name| (name, ScaleDownReason::CreationFailed));
        for (name, reason) in late.chain(failed) {
            deletions.push(ScaleDown {
                group: group.name.clone(),
                node: name.clone(),
                from: size,
                to: size - 1,
                reason,
                evict: Vec::new(),
                evict_daemons: Vec::new(),
                grace_seconds: profile.max_graceful_termination.0 / 1000,
            });
            size -= 1;
        }
    }
    deletions
}

/// Forgets deletions that the cloud has accepted: from then on the target size says it.
pub(super) fn forget_finished(world: &World<'_>, memory: &mut Memory) {
    let instances: BTreeSet<&str> = world
        .snapshot
        .groups
        .iter()
        .flat_map(|group| &group.instances)
        .filter(|instance| instance.state != InstanceState::Deleting)
        .map(|instance| instance.name.as_str())
        .collect();
    memory.deleting.retain(|node, _| instances.contains(node.as_str()));
}
