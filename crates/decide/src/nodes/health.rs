//! How the groups fare: which instances became nodes, which are on their way, which failed.
//!
//! After `clusterstate/clusterstate.go` and `utils/backoff` of cluster-autoscaler 1.36.1.

use units::{Millis, Timestamp};

use super::model::{Backoff, InstanceState, Memory, Snapshot};
use super::profile::Profile;
use super::world::World;

/// A node that is not ready yet counts as starting for this long (`MaxNodeStartupTime`).
pub(super) const STARTUP: Millis = Millis::from_secs(15 * 60);
const FIRST_BACKOFF_SECONDS: i64 = 5 * 60;
const LONGEST_BACKOFF_SECONDS: i64 = 30 * 60;
/// A failure is forgotten after this long without another.
pub(super) const BACKOFF_RESET: Millis = Millis::from_secs(3 * 60 * 60);

#[derive(Clone, Debug, Default)]
pub(super) struct GroupHealth {
    pub(super) target: i32,
    pub(super) ready: usize,
    pub(super) unready: usize,
    pub(super) not_started: Vec<String>,
    /// Instances that are not nodes yet, within and beyond the provisioning time.
    pub(super) unregistered: usize,
    pub(super) long_unregistered: Vec<String>,
    /// Instances that the cloud could not create.
    pub(super) failed: Vec<String>,
}

impl GroupHealth {
    /// Nodes that were asked for and are still to come.
    pub(super) fn upcoming(&self) -> i32 {
        self.target - (self.ready + self.unready + self.long_unregistered.len()) as i32
    }

    /// As `IsNodeGroupHealthy`: nodes that should be ready, beyond those on their way, must not be missing in number.
    pub(super) fn is_healthy(&self, profile: &Profile, requested: i32) -> bool {
        let expected = self.target - self.long_unregistered.len() as i32 - requested;
        let known = self.ready + self.unready + self.not_started.len();
        if known + self.unregistered + self.long_unregistered.len() == 0 {
            return self.target == 0 || expected == 0;
        }
        let missing = expected - self.ready as i32;
        missing <= 0
            || missing as usize <= profile.ok_total_unready_count
            || f64::from(missing) <= profile.max_total_unready_percentage / 100.0 * known as f64
    }
}

/// Looks at every group and brings the memory up to date: unregistered instances, requests that ended, failures.
pub(super) fn assess(profile: &Profile, world: &World<'_>, memory: &mut Memory) -> Vec<GroupHealth> {
    let snapshot = world.snapshot;
    note_unregistered(world, memory);
    let mut groups: Vec<GroupHealth> =
        (0..snapshot.groups.len()).map(|group| look(profile, world, memory, group)).collect();
    memory.backoffs.retain(|_, backoff| backoff.last_failure + BACKOFF_RESET >= snapshot.now);
    end_requests(snapshot, memory, &groups);
    note_failures(snapshot, memory, &mut groups);
    groups
}

fn note_unregistered(world: &World<'_>, memory: &mut Memory) {
    let now = world.snapshot.now;
    let known = std::mem::take(&mut memory.unregistered_since);
    memory.unregistered_since =
        world.unregistered.iter().map(|name| ((*name).to_owned(), known.get(*name).copied().unwrap_or(now))).collect();
}

fn look(profile: &Profile, world: &World<'_>, memory: &Memory, index: usize) -> GroupHealth {
    let (snapshot, group) = (world.snapshot, &world.snapshot.groups[index]);
    let mut health = GroupHealth { target: group.target_size, ..GroupHealth::default() };
    for node in world.nodes_of(index) {
        if node.ready {
            health.ready += 1;
        } else if node.created + STARTUP > snapshot.now {
            health.not_started.push(node.name.clone());
        } else {
            health.unready += 1;
        }
    }
    for instance in &group.instances {
        if memory.unregistered_since.is_empty() && instance.error.is_none() {
            continue;
        }
        if let Some(since) = memory.unregistered_since.get(&instance.name) {
            if *since + profile.max_node_provision_time < snapshot.now {
                health.long_unregistered.push(instance.name.clone());
            } else {
                health.unregistered += 1;
            }
        }
        if instance.error.is_some() && instance.state == InstanceState::Creating {
            health.failed.push(instance.name.clone());
        }
    }
    health
}

/// A request ends when nothing is to come any more, or fails when its time is up.
fn end_requests(snapshot: &Snapshot, memory: &mut Memory, groups: &[GroupHealth]) {
    for (group, health) in snapshot.groups.iter().zip(groups) {
        let Some(request) = memory.scale_up_requests.get(&group.name) else { continue };
        if health.upcoming() <= 0 {
            memory.scale_up_requests.remove(&group.name);
        } else if request.expected < snapshot.now {
            let waited = (snapshot.now - request.at).0 / 1000;
            let reason = format!("Scale-up timed out for node group {} after {waited}s", group.name);
            memory.scale_up_failed(&group.name, &reason, snapshot.now);
        }
    }
}

fn note_failures(snapshot: &Snapshot, memory: &mut Memory, groups: &mut [GroupHealth]) {
    let mut seen = std::collections::BTreeSet::new();
    for (group, health) in snapshot.groups.iter().zip(groups) {
        let fresh: Vec<_> = health.failed.iter().filter(|name| !memory.creation_errors.contains(*name)).collect();
        seen.extend(health.failed.iter().cloned());
        let scaling = memory.scale_up_requests.contains_key(&group.name) && health.upcoming() > 0;
        if fresh.is_empty() || !scaling {
            continue;
        }
        let error = group.instances.iter().find(|i| fresh.contains(&&i.name)).and_then(|i| i.error.as_ref());
        let reason = error.map_or_else(String::new, |error| format!("{}: {}", error.code, error.message));
        if let Some(request) = memory.scale_up_requests.get_mut(&group.name) {
            request.increase -= fresh.len() as i32;
            if request.increase <= 0 {
                memory.scale_up_requests.remove(&group.name);
            }
        }
        back_off(memory, &group.name, &reason, snapshot.now);
    }
    memory.creation_errors = seen;
}

/// The first back-off lasts five minutes; a failure after it ended doubles it, up to half an hour.
pub(super) fn back_off(memory: &mut Memory, group: &str, reason: &str, now: Timestamp) {
    let seconds = match memory.backoffs.get(group) {
        Some(known) if known.until < now => (2 * known.seconds).min(LONGEST_BACKOFF_SECONDS),
        Some(known) => known.seconds,
        None => FIRST_BACKOFF_SECONDS,
    };
    let until = now + Millis::from_secs(seconds);
    let backoff = Backoff { until, seconds, last_failure: now, reason: reason.to_owned() };
    memory.backoffs.insert(group.to_owned(), backoff);
}

pub(super) fn is_backed_off(memory: &Memory, group: &str, now: Timestamp) -> bool {
    memory.backoffs.get(group).is_some_and(|backoff| backoff.until >= now)
}

/// As `IsClusterHealthy`.
pub(super) fn cluster_is_healthy(profile: &Profile, world: &World<'_>) -> bool {
    let now = world.snapshot.now;
    let unready = world.nodes.iter().filter(|(node, _)| !node.ready && node.created + STARTUP <= now).count();
    unready <= profile.ok_total_unready_count
        || unready as f64 <= profile.max_total_unready_percentage / 100.0 * world.nodes.len() as f64
}
