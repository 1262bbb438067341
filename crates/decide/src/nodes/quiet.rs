//! From when on a loop could come to another end although nothing in the cluster changed.
//!
//! A loop reads the clock only to compare it with instants that the memory and the views hold. Where a loop neither acts
//! nor leaves its memory changed, the ones after it do the same until the first of those comparisons turns.

use units::{Millis, Timestamp};

use super::drain;
use super::health::{BACKOFF_RESET, STARTUP};
use super::model::{Memory, Snapshot};
use super::profile::Profile;
use super::scale_down::cooldowns;
use super::scale_up;

/// Later than every instant that matters, when nothing at all is waited for.
pub(super) const NEVER: Timestamp = Timestamp(i64::MAX);
/// For comparisons that turn only after their instant.
const JUST_AFTER: Millis = Millis(1);

/// The first instant after `snapshot.now` at which some comparison turns.
pub(super) fn until(profile: &Profile, snapshot: &Snapshot, memory: &Memory) -> Timestamp {
    let now = snapshot.now;
    let mut first = NEVER;
    let mut note = |at: Timestamp| {
        if at > now && at < first {
            first = at;
        }
    };
    cooldowns(profile, memory).for_each(|(_, until)| note(until));
    for since in memory.unneeded_since.values() {
        note(*since + profile.scale_down_unneeded_time + JUST_AFTER);
        note(*since + profile.scale_down_unready_time + JUST_AFTER);
    }
    memory.unremovable_until.values().for_each(|until| note(*until));
    for since in memory.unregistered_since.values() {
        note(*since + profile.max_node_provision_time + JUST_AFTER);
    }
    memory.scale_up_requests.values().for_each(|request| note(request.expected + JUST_AFTER));
    for backoff in memory.backoffs.values() {
        note(backoff.until + JUST_AFTER);
        note(backoff.last_failure + BACKOFF_RESET + JUST_AFTER);
    }
    snapshot.nodes.iter().filter(|node| !node.ready).for_each(|node| note(node.created + STARTUP));
    for pod in &snapshot.pods {
        if pod.node.is_none() && !pod.is_terminal() {
            scale_up::turning_points(profile, pod).into_iter().for_each(&mut note);
        }
    }
    // Bound pods are many; of them only those count that are about to end.
    snapshot.pods.iter().filter_map(|pod| drain::end_of_termination(pod)).for_each(&mut note);
    first
}
