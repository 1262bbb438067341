//! One loop of the autoscaler.
//!
//! After `RunOnce` of `core/static_autoscaler.go` and `loop/trigger.go`, cluster-autoscaler 1.36.1.

use std::collections::BTreeSet;

use super::health::{GroupHealth, assess, cluster_is_healthy, is_backed_off};
use super::model::{Decision, Memory, ScaleUp, Snapshot};
use super::profile::Profile;
use super::quiet;
use super::reasons::Reasons;
use super::scale_down::{self, delete_failed, delete_unregistered, forget_finished};
use super::scale_up;
use super::template;
use super::world::{World, cluster_of};
use crate::report::{Reason, Report};
use crate::scheduling::Cluster;

/// How many loops follow at once on one that changed something: `LoopTrigger.Wait` compares with the start of the loop
/// before the last one.
const IMMEDIATE_LOOPS: u8 = 2;

/// Decides on all node groups at `snapshot.now`.
///
/// Deterministic: the same profile, snapshot and memory give the same decision and the same memory.
pub fn decide(profile: &Profile, snapshot: &Snapshot, memory: &mut Memory) -> Decision {
    decide_on(profile, snapshot, memory, &mut cluster_of(snapshot))
}

/// The same for a caller who keeps the cluster current: it costs what there is to decide, not what there is to copy.
///
/// `cluster` holds the snapshot's nodes, the pods that are bound to them, and the surrounding objects and budgets; it is
/// changed on the way and is at the end as it was. `snapshot.pods` may leave out bound pods as that field says.
pub fn decide_on(profile: &Profile, snapshot: &Snapshot, memory: &mut Memory, cluster: &mut Cluster) -> Decision {
    let before = memory.without_hints();
    let mut world = World::new(snapshot, memory, cluster);
    forget_finished(&world, memory);
    let mut health = assess(profile, &world, memory);
    let mut decision = Decision::default();
    delete_unregistered(&mut world, &health, profile, &mut decision.scale_downs);
    let mut reasons = health_reasons(snapshot, memory, &health);
    if cluster_is_healthy(profile, &world) {
        delete_failed(&mut world, &mut health, profile, &mut decision.scale_downs);
        scale(profile, &mut world, memory, &health, &mut decision, &mut reasons);
    } else {
        decision.unhealthy = true;
        memory.unneeded_since.clear();
        reasons
            .push(Reason::new("nodes.unhealthy", "Cluster is not ready for autoscaling: too many nodes are unready"));
    }
    world.end();
    schedule_next(profile, snapshot, &before, memory, &mut decision);
    decision.report = report(&decision, reasons);
    decision
}

fn schedule_next(
    profile: &Profile,
    snapshot: &Snapshot,
    before: &Memory,
    memory: &mut Memory,
    decision: &mut Decision,
) {
    let now = snapshot.now;
    let productive = memory.last_scale_up == Some(now) && before.last_scale_up != Some(now)
        || memory.last_delete == Some(now) && before.last_delete != Some(now)
        || !decision.scale_ups.is_empty();
    memory.immediate_loops = if productive { IMMEDIATE_LOOPS } else { memory.immediate_loops.saturating_sub(1) };
    decision.next = if memory.immediate_loops > 0 { now } else { now + profile.scan_interval };
    let acted = !decision.scale_ups.is_empty() || !decision.scale_downs.is_empty();
    let settled = memory.is_as_settled_as(before);
    if !acted && settled {
        decision.quiet_until = Some(quiet::until(profile, snapshot, memory));
    }
}

fn scale(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    health: &[GroupHealth],
    decision: &mut Decision,
    reasons: &mut Reasons,
) {
    let not_started = add_upcoming(world, memory, health);
    let pods = scale_up::pods_to_help(profile, world, memory);
    let up = scale_up::scale_up(profile, world, health, memory, pods, reasons);
    (decision.scale_ups, decision.not_helped) = (up.scale_ups, up.not_helped);
    let down = scale_down::scale_down(profile, world, memory, &not_started, up.waits_for_more, reasons);
    decision.scale_downs.extend(down.scale_downs);
    decision.unneeded = down.unneeded;
    enforce_minimum(profile, world, memory, health, decision);
}

/// Puts the nodes that are on their way into the world, so that pods which will run there cause no further ones. Nodes
/// that have registered but are not ready yet are among them and are taken out; the answer names those.
fn add_upcoming(world: &mut World<'_>, memory: &Memory, health: &[GroupHealth]) -> BTreeSet<String> {
    let snapshot = world.snapshot;
    let mut not_started = BTreeSet::new();
    for (index, (group, health)) in snapshot.groups.iter().zip(health).enumerate() {
        let expected = memory.scale_up_requests.contains_key(&group.name);
        if health.upcoming() <= 0 || !expected || is_backed_off(memory, &group.name, snapshot.now) {
            continue;
        }
        for number in 0..health.upcoming() {
            template::add(world, index, &format!("upcoming-{}-{number}", group.name));
        }
        not_started.extend(health.not_started.iter().cloned());
    }
    for name in &not_started {
        world.drop_node(name);
    }
    not_started
}

/// As `ScaleUpToNodeGroupMinSize`, which AKS has switched on.
fn enforce_minimum(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    health: &[GroupHealth],
    decision: &mut Decision,
) {
    let grown = !decision.scale_ups.is_empty();
    for (index, group) in world.snapshot.groups.iter().enumerate() {
        let (from, to) = (world.sizes[index], group.min);
        // A scale-up in this loop has the targets looked up again.
        let target = if grown { from } else { health[index].target };
        let health = GroupHealth { target, ..health[index].clone() };
        let healthy = health.is_healthy(profile, scale_up::requested(memory, &group.name));
        if from >= to || !healthy || is_backed_off(memory, &group.name, world.snapshot.now) {
            continue;
        }
        scale_up::request(profile, world, memory, index, to);
        decision.scale_ups.push(ScaleUp { group: group.name.clone(), from, to, pods: Vec::new() });
    }
}

fn health_reasons(snapshot: &Snapshot, memory: &Memory, health: &[GroupHealth]) -> Reasons {
    let mut reasons = Reasons::default();
    for (group, health) in snapshot.groups.iter().zip(health) {
        if health.upcoming() > 0 {
            let text = format!("{} has {} node(s) on their way", group.name, health.upcoming());
            reasons.push(Reason::new("nodes.upcoming", text).with("group", group.name.as_str()));
        }
        if let Some(backoff) = memory.backoffs.get(&group.name).filter(|backoff| backoff.until >= snapshot.now) {
            let text = format!("{} backs off: {}", group.name, backoff.reason);
            reasons.push(Reason::new("nodes.backoff", text).with("until", backoff.until.rfc3339()));
        }
    }
    reasons
}

/// Pods that no group can help are named up to this number.
const MOST_NAMED: usize = 50;

fn report(decision: &Decision, reasons: Reasons) -> Report {
    let mut parts: Vec<String> = decision
        .scale_ups
        .iter()
        .map(|up| match up.pods.len() {
            0 => format!("{} grows from {} to {} nodes, its minimum", up.group, up.from, up.to),
            pods => format!("{} grows from {} to {} nodes for {pods} pod(s)", up.group, up.from, up.to),
        })
        .collect();
    parts.extend(decision.scale_downs.iter().map(|down| {
        let why = serde_json::to_value(down.reason).ok().and_then(|v| v.as_str().map(str::to_lowercase));
        format!("{} leaves {} ({})", down.node, down.group, why.unwrap_or_default())
    }));
    if parts.is_empty() {
        parts.push(match (decision.unneeded.len(), decision.not_helped.len()) {
            (0, 0) => "no change".to_owned(),
            (0, pods) => format!("no change: no group can help {pods} pod(s)"),
            (nodes, _) => format!("no change yet: {nodes} node(s) without need"),
        });
    }
    let mut reasons = reasons.finish();
    for pod in decision.not_helped.iter().take(MOST_NAMED) {
        reasons.push(Reason::new("nodes.scale-up.not-helped", format!("{}: {}", pod.pod, pod.message)));
    }
    Report { summary: parts.join("; "), reasons }
}
