//! Deleting nodes that have been without need for long enough, and instances that failed.
//!
//! After `core/scaledown/{planner,unneeded,budgets,actuation}` of cluster-autoscaler 1.36.1.

use std::collections::{BTreeMap, BTreeSet};

use units::Timestamp;

use super::drain::evicted_daemons;
use super::health::GroupHealth;
use super::model::{Deletion, InstanceState, Memory, ScaleDown, ScaleDownReason, Unneeded};
use super::profile::Profile;
use super::reasons::Reasons;
use super::unneeded::{self, Removable};
use super::world::World;
use crate::report::Reason;

pub(super) const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
pub(super) const CANDIDATE_TAINT: &str = "DeletionCandidateOfClusterAutoscaler";

/// Nodes with pods go one after the other (`--max-drain-parallelism`).
const DRAINS_AT_ONCE: usize = 1;

#[derive(Default)]
pub(super) struct Outcome {
    pub(super) scale_downs: Vec<ScaleDown>,
    pub(super) unneeded: Vec<Unneeded>,
}

pub(super) fn scale_down(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    not_started: &BTreeSet<String>,
    forbidden: bool,
    reasons: &mut Reasons,
) -> Outcome {
    let now = world.snapshot.now;
    let mut outcome = Outcome::default();
    let removable = unneeded::find(profile, world, memory, not_started, reasons);
    let known = std::mem::take(&mut memory.unneeded_since);
    let since = |name: &String| known.get(name).copied().unwrap_or(now);
    memory.unneeded_since = removable.iter().map(|r| (r.node.name.clone(), since(&r.node.name))).collect();
    outcome.unneeded =
        memory.unneeded_since.iter().map(|(node, since)| Unneeded { node: node.clone(), since: *since }).collect();
    match cooldown(profile, memory, now, forbidden) {
        Some(reason) => reasons.push(reason),
        None => delete(profile, world, memory, &removable, &mut outcome, reasons),
    }
    outcome
}

/// What holds every deletion back: the setting, and until when.
pub(super) fn cooldowns(profile: &Profile, memory: &Memory) -> impl Iterator<Item = (&'static str, Timestamp)> {
    let waits = [
        ("scale-down-delay-after-add", memory.last_scale_up, profile.scale_down_delay_after_add),
        ("scale-down-delay-after-failure", memory.last_failed_delete, profile.scale_down_delay_after_failure),
        ("scale-down-delay-after-delete", memory.last_delete, profile.scale_down_delay_after_delete),
    ];
    waits.into_iter().filter_map(|(setting, last, delay)| Some((setting, last? + delay)))
}

/// Why nothing is deleted in this loop, whatever is without need.
fn cooldown(profile: &Profile, memory: &Memory, now: Timestamp, forbidden: bool) -> Option<Reason> {
    if forbidden {
        let text = "no scale-down in a loop that waits for more pods";
        return Some(Reason::new("nodes.scale-down.cooldown", text));
    }
    let (setting, until) =
        cooldowns(profile, memory).filter(|(_, until)| *until > now).max_by_key(|(_, until)| *until)?;
    let text = format!("no scale-down for another {} s: {setting}", ((until - now).0 + 999) / 1000);
    Some(Reason::new("nodes.scale-down.cooldown", text).with("until", until.rfc3339()))
}

fn delete(
    profile: &Profile,
    world: &World<'_>,
    memory: &mut Memory,
    removable: &[Removable],
    outcome: &mut Outcome,
    reasons: &mut Reasons,
) {
    let now = world.snapshot.now;
    let mut sizes = Sizes::new(world, memory);
    let (mut empty, mut draining, mut risky) = (Vec::new(), Vec::new(), Vec::new());
    let (without_pods, with_pods): (Vec<_>, Vec<_>) = removable.iter().partition(|r| r.pods.moving.is_empty());
    for candidate in without_pods.into_iter().chain(with_pods) {
        let name = &candidate.node.name;
        let since = memory.unneeded_since[name];
        if let Err(why) = may_go(profile, candidate, since, now) {
            reasons.stays(name, || why);
        } else if !sizes.take(world, candidate.group) {
            reasons.stays(name, || "node group min size reached".to_owned());
        } else if candidate.pods.awaits_completion {
            reasons.stays(name, || "a pod on it runs to completion".to_owned());
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
        let from = world.sizes[candidate.group] - *count + 1;
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
        let groups = world.snapshot.groups.iter().zip(&world.sizes);
        Sizes(groups.map(|(group, size)| size - in_progress(&group.name)).collect())
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
    // Pods that were only put on this node in thought, from a node found before it, are not there to be evicted.
    let here = candidate.pods.moving.iter().filter(|pod| pod.node.as_ref() == Some(&node));
    ScaleDown {
        group,
        from,
        to: from - 1,
        reason,
        evict: here.map(|pod| pod.key()).collect(),
        evict_daemons: daemons,
        grace_seconds: profile.max_graceful_termination.0 / 1000,
        node,
    }
}

/// Instances that never became nodes in time, as far as the groups' minimum allows.
pub(super) fn delete_unregistered(
    world: &mut World<'_>,
    health: &[GroupHealth],
    profile: &Profile,
    deletions: &mut Vec<ScaleDown>,
) {
    for (index, health) in health.iter().enumerate() {
        let spare = usize::try_from(world.sizes[index] - world.snapshot.groups[index].min).unwrap_or(0);
        for name in health.long_unregistered.iter().take(spare) {
            deletions.push(delete_instance(world, index, name, ScaleDownReason::Unregistered, profile));
        }
    }
}

/// Instances that the cloud could not create. Azure's provider refuses where the group is at its minimum, and does not
/// look at it otherwise.
pub(super) fn delete_failed(
    world: &mut World<'_>,
    health: &mut [GroupHealth],
    profile: &Profile,
    deletions: &mut Vec<ScaleDown>,
) {
    for (index, health) in health.iter_mut().enumerate() {
        if world.sizes[index] <= world.snapshot.groups[index].min {
            continue;
        }
        for name in &health.failed {
            deletions.push(delete_instance(world, index, name, ScaleDownReason::CreationFailed, profile));
            health.target -= 1;
        }
    }
}

fn delete_instance(
    world: &mut World<'_>,
    index: usize,
    name: &str,
    reason: ScaleDownReason,
    profile: &Profile,
) -> ScaleDown {
    let from = world.sizes[index];
    world.sizes[index] -= 1;
    ScaleDown {
        group: world.snapshot.groups[index].name.clone(),
        node: name.to_owned(),
        from,
        to: from - 1,
        reason,
        evict: Vec::new(),
        evict_daemons: Vec::new(),
        grace_seconds: profile.max_graceful_termination.0 / 1000,
    }
}

/// Forgets deletions that the cloud has accepted: from then on the target size says it.
pub(super) fn forget_finished(world: &World<'_>, memory: &mut Memory) {
    if memory.deleting.is_empty() {
        return;
    }
    let known = world.snapshot.groups.iter().flat_map(|group| &group.instances);
    let here: BTreeSet<&str> = known
        .filter(|instance| instance.state != InstanceState::Deleting && memory.deleting.contains_key(&instance.name))
        .map(|instance| instance.name.as_str())
        .collect();
    memory.deleting.retain(|node, _| here.contains(node.as_str()));
}
