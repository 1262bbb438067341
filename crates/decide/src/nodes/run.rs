//! One loop of the autoscaler.
//!
//! After `RunOnce` of `core/static_autoscaler.go` and `loop/trigger.go`, cluster-autoscaler 1.36.1.

use std::collections::BTreeSet;

use super::health::{GroupHealth, assess, cluster_is_healthy, is_backed_off};
use super::model::{Decision, Memory, ScaleUp, Snapshot};
use super::profile::Profile;
use super::scale_down::{self, delete_failed_instances, forget_finished};
use super::scale_up;
use super::template;
use super::world::World;
use crate::report::{Reason, Report};

/// Decides on all node groups at `snapshot.now`.
///
/// Deterministic: the same profile, snapshot and memory give the same decision and the same memory.
pub fn decide(profile: &Profile, snapshot: &Snapshot, memory: &mut Memory) -> Decision {
    let mut world = World::new(snapshot, memory);
    forget_finished(&world, memory);
    let health = assess(profile, &world, memory);
    let mut decision =
        Decision { scale_downs: delete_failed_instances(&world, &health, profile), ..Decision::default() };
    let mut reasons = health_reasons(snapshot, memory, &health);
    if cluster_is_healthy(profile, &world) {
        scale(profile, &mut world, memory, &health, &mut decision, &mut reasons);
    } else {
        memory.unneeded_since.clear();
        reasons
            .push(Reason::new("nodes.unhealthy", "Cluster is not ready for autoscaling: too many nodes are unready"));
    }
    let acted = !decision.scale_ups.is_empty() || !decision.scale_downs.is_empty();
    decision.next = if acted { snapshot.now } else { snapshot.now + profile.scan_interval };
    decision.report = report(&decision, reasons);
    decision
}

fn scale(
    profile: &Profile,
    world: &mut World<'_>,
    memory: &mut Memory,
    health: &[GroupHealth],
    decision: &mut Decision,
    reasons: &mut Vec<Reason>,
) {
    let not_started = add_upcoming(world, memory, health);
    let pods = scale_up::pods_to_help(world, memory);
    let up = scale_up::scale_up(profile, world, health, memory, pods);
    reasons.extend(up.reasons);
    (decision.scale_ups, decision.not_helped) = (up.scale_ups, up.not_helped);
    let down = scale_down::scale_down(profile, world, memory, &not_started, up.waits_for_more);
    reasons.extend(down.reasons);
    decision.scale_downs.extend(down.scale_downs);
    decision.unneeded = down.unneeded;
    enforce_minimum(profile, world, memory, decision);
}

/// Puts the nodes that are on their way into the world, so that pods which will run there cause no further ones. Nodes
/// that have registered but are not ready yet are among them and are taken out; the answer names those.
fn add_upcoming(world: &mut World<'_>, memory: &Memory, health: &[GroupHealth]) -> BTreeSet<String> {
    let snapshot = world.snapshot;
    let mut not_started = BTreeSet::new();
    for (group, health) in snapshot.groups.iter().zip(health) {
        let expected = memory.scale_up_requests.contains_key(&group.name);
        if health.upcoming() <= 0 || !expected || is_backed_off(memory, &group.name, snapshot.now) {
            continue;
        }
        for number in 0..health.upcoming() {
            let name = format!("upcoming-{}-{number}", group.name);
            template::add(&mut world.cluster, snapshot, group, &name);
        }
        not_started.extend(health.not_started.iter().cloned());
    }
    for name in &not_started {
        template::remove(&mut world.cluster, name);
    }
    not_started
}

/// As `ScaleUpToNodeGroupMinSize`, which AKS has switched on.
fn enforce_minimum(profile: &Profile, world: &World<'_>, memory: &mut Memory, decision: &mut Decision) {
    for group in &world.snapshot.groups {
        let grows = decision.scale_ups.iter().any(|up| up.group == group.name);
        if group.target_size < group.min && !grows && !is_backed_off(memory, &group.name, world.snapshot.now) {
            let (from, to) = (group.target_size, group.min);
            scale_up::request(profile, world, memory, &group.name, to - from);
            decision.scale_ups.push(ScaleUp { group: group.name.clone(), from, to, pods: Vec::new() });
        }
    }
}

fn health_reasons(snapshot: &Snapshot, memory: &Memory, health: &[GroupHealth]) -> Vec<Reason> {
    let mut reasons = Vec::new();
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

/// Reasons why single nodes stay are cut here: in a large cluster they are as many as nodes, and every loop repeats them.
const MOST_REASONS: usize = 50;

fn report(decision: &Decision, mut reasons: Vec<Reason>) -> Report {
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
    if reasons.len() > MOST_REASONS {
        let more = reasons.len() - MOST_REASONS;
        reasons.truncate(MOST_REASONS);
        reasons.push(Reason::new("nodes.more", format!("{more} more reasons")));
    }
    for pod in decision.not_helped.iter().take(MOST_REASONS) {
        reasons.push(Reason::new("nodes.scale-up.not-helped", format!("{}: {}", pod.pod, pod.message)));
    }
    Report { summary: parts.join("; "), reasons }
}
