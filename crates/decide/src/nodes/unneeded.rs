//! Finding the nodes without need.
//!
//! After `core/scaledown/{eligibility,planner}`, `processors/scaledowncandidates` and `simulator/cluster.go` of
//! cluster-autoscaler 1.36.1.

use std::collections::BTreeSet;
use std::sync::Arc;

use units::{Millis, Timestamp};

use super::drain::{Budgets, Pods, is_long_terminating, pods_to_move};
use super::model::Memory;
use super::profile::Profile;
use super::reasons::Reasons;
use super::world::World;
use crate::scheduling::view::{NodeView, PodView};

const DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// A node that could not be removed is not looked at again for this long (`--unremovable-node-recheck-timeout`).
const RECHECK: Millis = Millis::from_secs(5 * 60);

/// A node without need.
pub(super) struct Removable {
    pub(super) node: Arc<NodeView>,
    pub(super) group: usize,
    pub(super) pods: Pods,
    /// Its pods share a budget that does not let all of them go at once.
    pub(super) risky: bool,
}

/// Nodes of groups above their minimum whose pods fit elsewhere, each found with the ones before it gone already.
pub(super) fn find(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    not_started: &BTreeSet<String>,
    reasons: &mut Reasons,
) -> Vec<Removable> {
    let now = world.snapshot.now;
    note_interval(profile, memory, now);
    memory.unremovable_until.retain(|node, until| *until > now && world.cluster.node(node).is_some());
    let mut budgets = Budgets::new(&world.snapshot.budgets);
    // Only nodes of this snapshot take pods: not those that are to come, nor those that are not up yet or going.
    let mut destinations: BTreeSet<&str> = world.nodes.keys().copied().collect();
    destinations.retain(|name| !world.leaving.contains(name) && !not_started.contains(*name));
    let mut found = Vec::new();
    let mut hints = std::mem::take(&mut memory.moving_hints);
    let limit = candidate_limit(profile, memory);
    for (node, group) in candidates(profile, world, memory, not_started, &budgets, reasons) {
        if found.len() >= limit {
            reasons.stays(&node.name, || "enough nodes without need were found already".to_owned());
            break;
        }
        let pods = match pods_to_move(profile, &budgets, world.cluster.pods_on(&node.name), now) {
            Ok(pods) => pods,
            Err(why) => {
                reasons.stays(&node.name, || why);
                memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
                continue;
            }
        };
        if let Err(pod) = world.try_remove(&node.name, &pods.moving, &mut hints, |name| destinations.contains(name)) {
            reasons.stays(&node.name, || format!("no other node has room for {pod}"));
            memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
            continue;
        }
        let risky = !budgets.take(&pods.moving);
        destinations.remove(node.name.as_str());
        found.push(Removable { node, group, pods, risky });
    }
    hints.drop_old();
    memory.moving_hints = hints;
    found
}

/// Keeps the shortest time between two loops, of which upstream makes an upper limit. In between there was a timed one
/// at least every scan interval, even if the caller left it out.
fn note_interval(profile: &Profile, memory: &mut Memory, now: Timestamp) {
    if let Some(last) = memory.last_update {
        // Loops that follow at once are a moment apart.
        let interval = (now - last).max(Millis(1)).min(profile.scan_interval);
        memory.shortest_interval = Some(memory.shortest_interval.map_or(interval, |known| known.min(interval)));
    }
    memory.last_update = Some(now);
}

/// As `unneededNodesLimit`: no more than can be deleted before the first of them has waited long enough.
fn candidate_limit(profile: &Profile, memory: &Memory) -> usize {
    let at_once = profile.max_empty_bulk_delete;
    let unneeded = profile.scale_down_unneeded_time.0;
    let interval = memory.shortest_interval.map_or(unneeded, |known| known.0.min(unneeded)).max(1);
    let loops = unneeded.max(interval) / interval;
    let most = at_once.saturating_mul(usize::try_from(loops).unwrap_or(usize::MAX)).saturating_add(at_once);
    most.min(memory.unneeded_since.len().saturating_add(at_once.saturating_mul(2)))
}

/// Eligible nodes of groups above their minimum: empty ones first, then those that were without need before.
fn candidates(
    profile: &Profile,
    world: &World<'_>,
    memory: &Memory,
    not_started: &BTreeSet<String>,
    budgets: &Budgets,
    reasons: &mut Reasons,
) -> Vec<(Arc<NodeView>, usize)> {
    let groups = &world.snapshot.groups;
    let terminating = world.snapshot.pods.iter().any(|pod| pod.deleting.is_some());
    let mut list = Vec::new();
    for (name, node) in &world.nodes {
        let Some(group) = world.group_of(name) else { continue };
        if not_started.contains(*name) || world.leaving.contains(name) {
            continue;
        }
        if world.sizes[group] <= groups[group].min {
            continue;
        }
        match eligibility(profile, world, memory, node, terminating) {
            Eligibility::Yes => {}
            Eligibility::Recent => {
                reasons.stays(name, || "it could not be removed a short while ago".to_owned());
                continue;
            }
            Eligibility::No(why) => {
                reasons.stays(name, why);
                continue;
            }
        }
        let pods = pods_to_move(profile, budgets, world.cluster.pods_on(name), world.snapshot.now);
        let rank = match pods {
            Ok(pods) if pods.moving.is_empty() => u8::from(pods.awaits_completion),
            _ => 2,
        };
        list.push((rank, !memory.unneeded_since.contains_key(*name), Arc::clone(node), group));
    }
    // Stable: nodes that compare equal stay in the order of their names.
    list.sort_by_key(|(rank, fresh, ..)| (*rank, *fresh));
    list.into_iter().map(|(_, _, node, group)| (node, group)).collect()
}

enum Eligibility<F> {
    Yes,
    Recent,
    No(F),
}

fn eligibility(
    profile: &Profile,
    world: &World<'_>,
    memory: &Memory,
    node: &NodeView,
    terminating: bool,
) -> Eligibility<Box<dyn FnOnce() -> String>> {
    if memory.unremovable_until.contains_key(&node.name) {
        return Eligibility::Recent;
    }
    if node.annotations.get(DISABLED).is_some_and(|value| value == "true") {
        return Eligibility::No(Box::new(|| format!("annotation {DISABLED}")));
    }
    let (resource, used) = match utilization(profile, world, node, terminating) {
        Ok(utilization) => utilization,
        Err(why) => return Eligibility::No(Box::new(move || why)),
    };
    let threshold = profile.scale_down_utilization_threshold;
    if used > threshold {
        return Eligibility::No(Box::new(move || {
            format!("{resource} is requested to {:.1} %, above {} %", 100.0 * used, 100.0 * threshold)
        }));
    }
    Eligibility::Yes
}

/// The larger of requested CPU and memory, as shares of allocatable.
fn utilization(
    profile: &Profile,
    world: &World<'_>,
    node: &NodeView,
    terminating: bool,
) -> Result<(&'static str, f64), String> {
    let (cpu, memory) = (node.allocatable.cpu.0, node.allocatable.memory.0);
    if cpu == 0 || memory == 0 {
        let resource = if cpu == 0 { "cpu" } else { "memory" };
        return Err(format!("{resource} is 0 at {}", node.name));
    }
    let Some(index) = world.cluster.find(&node.name) else { return Err(format!("{} is not known", node.name)) };
    let state = &world.cluster.nodes[index];
    let (mut used_cpu, mut used_memory) = (state.requested.cpu, state.requested.memory);
    let (mut daemon_cpu, mut daemon_memory) = (0_i64, 0_i64);
    if profile.ignore_daemonsets_utilization || terminating {
        let mut leave_out = |pod: &PodView, is_daemon: bool| {
            used_cpu = used_cpu.saturating_sub(pod.requests.cpu.0);
            used_memory = used_memory.saturating_sub(pod.requests.memory.0);
            if is_daemon {
                daemon_cpu = daemon_cpu.saturating_add(pod.requests.cpu.0);
                daemon_memory = daemon_memory.saturating_add(pod.requests.memory.0);
            }
        };
        for pod in world.cluster.pods_on(&node.name) {
            if profile.ignore_daemonsets_utilization && pod.is_owned_by("DaemonSet") {
                leave_out(pod, true);
            } else if is_long_terminating(pod, world.snapshot.now) {
                leave_out(pod, false);
            }
        }
    }
    let cpu = used_cpu as f64 / cpu.saturating_sub(daemon_cpu) as f64;
    let memory = used_memory as f64 / memory.saturating_sub(daemon_memory) as f64;
    Ok(if cpu > memory { ("cpu", cpu) } else { ("memory", memory) })
}
