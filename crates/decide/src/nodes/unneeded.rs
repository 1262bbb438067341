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
use crate::scheduling::Cluster;
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
    forget_unremovable(world, memory);
    let mut budgets = Budgets::new(&world.snapshot.budgets);
    // Only nodes of this snapshot take pods: not those that are to come, nor those that are not up yet or going.
    let destinations = destinations(world, not_started);
    let is_open = |cluster: &Cluster, index: usize| {
        destinations.get(cluster.marks[index].slot as usize).copied().unwrap_or(false)
    };
    let mut found = Vec::new();
    let mut hints = std::mem::take(&mut memory.moving_hints);
    let limit = candidate_limit(profile, memory);
    for (node, group) in candidates(profile, world, memory, not_started, &budgets, reasons) {
        if found.len() >= limit {
            reasons.stays(&node.name, || "enough nodes without need were found already".to_owned());
            break;
        }
        let Some(index) = world.cluster.find(&node.name) else { continue };
        let pods = match pods_to_move(profile, &budgets, world.cluster.pods_at(index), now) {
            Ok(pods) => pods,
            Err(why) => {
                reasons.stays(&node.name, || why);
                memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
                continue;
            }
        };
        if let Err(pod) = world.try_remove(index, &pods.moving, &mut hints, is_open) {
            reasons.stays(&node.name, || format!("no other node has room for {pod}"));
            memory.unremovable_until.insert(node.name.clone(), now + RECHECK);
            continue;
        }
        let risky = !budgets.take(&pods.moving);
        found.push(Removable { node, group, pods, risky });
    }
    hints.drop_old();
    memory.moving_hints = hints;
    found
}

/// Nodes that may be tried again, and those that are gone. Both lists are in the order of the names.
fn forget_unremovable(world: &World<'_>, memory: &mut Memory) {
    let now = world.snapshot.now;
    let mut nodes = world.cluster.node_names().peekable();
    memory.unremovable_until.retain(|name, until| {
        while nodes.next_if(|node| *node < name.as_str()).is_some() {}
        *until > now && nodes.peek() == Some(&name.as_str())
    });
}

/// By slot: whether a node of this snapshot takes pods.
fn destinations(world: &World<'_>, not_started: &BTreeSet<String>) -> Vec<bool> {
    let mut open = vec![false; world.cluster.slot_count()];
    let mut known = world.nodes.iter().map(|(node, _)| node.name.as_str()).peekable();
    for (node, mark) in world.cluster.nodes.iter().zip(&world.cluster.marks) {
        let name = node.name();
        while known.next_if(|known| *known < name).is_some() {}
        let registered = known.peek() == Some(&name);
        open[mark.slot as usize] = registered && !world.leaving.contains(name) && !not_started.contains(name);
    }
    open
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
    // All three are in the order of the names.
    let mut places = (0..world.cluster.nodes.len()).peekable();
    let mut recent = memory.unremovable_until.keys().peekable();
    for (node, group) in &world.nodes {
        let (name, Some(group)) = (node.name.as_str(), *group) else { continue };
        while recent.next_if(|other| other.as_str() < name).is_some() {}
        while places.next_if(|index| world.cluster.nodes[*index].name() < name).is_some() {}
        if not_started.contains(name) || world.leaving.contains(name) {
            continue;
        }
        if world.sizes[group] <= groups[group].min {
            continue;
        }
        let index = places.peek().copied().filter(|index| world.cluster.nodes[*index].name() == name);
        let why = match index {
            _ if recent.peek().is_some_and(|other| other.as_str() == name) => Some(Stays::Recent),
            Some(index) => ineligible(profile, world, node, index, terminating),
            None => Some(Stays::Unknown),
        };
        let (None, Some(index)) = (&why, index) else {
            reasons.stays(name, || why.map_or_else(String::new, |why| why.text(profile, name)));
            continue;
        };
        let pods = pods_to_move(profile, budgets, world.cluster.pods_at(index), world.snapshot.now);
        let rank = match pods {
            Ok(pods) if pods.moving.is_empty() => u8::from(pods.awaits_completion),
            _ => 2,
        };
        list.push((rank, !memory.unneeded_since.contains_key(name), Arc::clone(node), group));
    }
    // Stable: nodes that compare equal stay in the order of their names.
    list.sort_by_key(|(rank, fresh, ..)| (*rank, *fresh));
    list.into_iter().map(|(_, _, node, group)| (node, group)).collect()
}

/// Why a node is not looked at closer.
enum Stays {
    Recent,
    Disabled,
    Unknown,
    /// It says that it has none of this resource.
    Empty(&'static str),
    Busy(&'static str, f64),
}

impl Stays {
    fn text(&self, profile: &Profile, node: &str) -> String {
        match self {
            Stays::Recent => "it could not be removed a short while ago".to_owned(),
            Stays::Disabled => format!("annotation {DISABLED}"),
            Stays::Unknown => format!("{node} is not known"),
            Stays::Empty(resource) => format!("{resource} is 0 at {node}"),
            Stays::Busy(resource, used) => format!(
                "{resource} is requested to {:.1} %, above {} %",
                100.0 * used,
                100.0 * profile.scale_down_utilization_threshold
            ),
        }
    }
}

fn ineligible(profile: &Profile, world: &World<'_>, node: &NodeView, index: usize, terminating: bool) -> Option<Stays> {
    if node.annotations.get(DISABLED).is_some_and(|value| value == "true") {
        return Some(Stays::Disabled);
    }
    match utilization(profile, world, node, index, terminating) {
        Err(resource) => Some(Stays::Empty(resource)),
        Ok((resource, used)) => {
            (used > profile.scale_down_utilization_threshold).then_some(Stays::Busy(resource, used))
        }
    }
}

/// The larger of requested CPU and memory, as shares of allocatable.
///
/// # Errors
/// With the resource of which the node has none.
pub(super) fn utilization(
    profile: &Profile,
    world: &World<'_>,
    node: &NodeView,
    index: usize,
    terminating: bool,
) -> Result<(&'static str, f64), &'static str> {
    let (cpu, memory) = (node.allocatable.cpu.0, node.allocatable.memory.0);
    if cpu == 0 || memory == 0 {
        return Err(if cpu == 0 { "cpu" } else { "memory" });
    }
    let state = &world.cluster.nodes[index];
    let (mut used_cpu, mut used_memory) = (state.requested.cpu, state.requested.memory);
    let (mut daemon_cpu, mut daemon_memory) = (0_i64, 0_i64);
    // Pods that are being deleted are few, and most nodes have none.
    let terminating = terminating && state.classes.iter().any(|count| count.live < count.all);
    if profile.ignore_daemonsets_utilization || terminating {
        let mut leave_out = |pod: &PodView, is_daemon: bool| {
            used_cpu = used_cpu.saturating_sub(pod.requests.cpu.0);
            used_memory = used_memory.saturating_sub(pod.requests.memory.0);
            if is_daemon {
                daemon_cpu = daemon_cpu.saturating_add(pod.requests.cpu.0);
                daemon_memory = daemon_memory.saturating_add(pod.requests.memory.0);
            }
        };
        for pod in world.cluster.pods_at(index) {
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
