//! Which pods go first when a replica set shrinks (upstream pkg/controller/controller_utils.go `ActivePodsWithRanks`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use units::Timestamp;

use crate::clock;
use crate::objects::Meta;
use crate::pods;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts the pods that should go first to the front. `related` are the pods of all replica sets of the same owner:
/// of two equal pods, the one whose node has more of them goes first.
pub(crate) fn sort_for_deletion(candidates: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *on_node.entry(pods::node_name(pod).unwrap_or_default()).or_default() += 1;
    }
    let crowd = |pod: &Pod| on_node.get(pods::node_name(pod).unwrap_or_default()).copied().unwrap_or(0);
    candidates.sort_by(|a, b| compare(a, b, crowd(a), crowd(b), now));
}

fn compare(a: &Pod, b: &Pod, crowd_a: usize, crowd_b: usize, now: Timestamp) -> Ordering {
    let assigned = |pod: &Pod| pods::node_name(pod).is_some();
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase_rank(a).cmp(&phase_rank(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| crowd_b.cmp(&crowd_a))
        .then_with(|| by_age(a, b, pods::ready_since(a), pods::ready_since(b), now))
        .then_with(|| pods::restarts(b).cmp(&pods::restarts(a)))
        .then_with(|| by_age(a, b, created(a), created(b), now))
}

fn phase_rank(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(clock::from_kube)
}

/// Younger first, but ages within the same power of two of nanoseconds count as equal and the uid decides, so that
/// the newest pods are not always the ones to go (upstream's LogarithmicScaleDown).
fn by_age(a: &Pod, b: &Pod, since_a: Option<Timestamp>, since_b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let (Some(since_a), Some(since_b)) = (since_a, since_b) else { return Ordering::Equal };
    if since_a == since_b {
        return Ordering::Equal;
    }
    age_rank(since_a, now).cmp(&age_rank(since_b, now)).then_with(|| a.uid().cmp(b.uid()))
}

/// The power of two of an age in nanoseconds, −1 for none or less, as upstream's `logarithmicRankDiff` has it.
fn age_rank(since: Timestamp, now: Timestamp) -> i64 {
    let nanos = i128::from((now - since).0) * 1_000_000;
    match u128::try_from(nanos) {
        Ok(nanos) if nanos > 0 => i64::from(nanos.ilog2()),
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    /// `name node phase ready-seconds-ago cost`, `-` for nothing.
    fn pod(text: &str) -> Arc<Pod> {
        let mut words = text.split(' ').map(|word| (word != "-").then_some(word));
        let mut word = || words.next().flatten();
        let name = word().unwrap();
        let node = word();
        let phase = word();
        let ready = word().map(|seconds| clock::kube_time(Timestamp(NOW.0 - seconds.parse::<i64>().unwrap() * 1000)));
        let cost = word();
        Arc::new(Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                uid: Some(name.into()),
                creation_timestamp: ready.clone(),
                annotations: cost.map(|cost| [(DELETION_COST.to_owned(), cost.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec { node_name: node.map(Into::into), ..PodSpec::default() }),
            status: Some(PodStatus {
                phase: phase.map(Into::into),
                conditions: ready.map(|at| {
                    vec![PodCondition {
                        type_: "Ready".into(),
                        status: "True".into(),
                        last_transition_time: Some(at),
                        ..PodCondition::default()
                    }]
                }),
                ..PodStatus::default()
            }),
        })
    }

    fn check(first: &str, second: &str) {
        let (first, second) = (pod(first), pod(second));
        let mut sorted = [second.clone(), first.clone()];
        let related = [first.clone(), second.clone()];
        sort_for_deletion(&mut sorted, &related, NOW);
        assert_eq!(sorted[0].name(), first.name());
    }

    #[test]
    fn each_rule_in_its_order() {
        check("unassigned - Pending", "assigned n1 Pending");
        check("pending n1 Pending", "running n1 Running");
        check("unready n1 Running", "ready n1 Running 10");
        check("cheap n1 Running 100 -5", "dear n1 Running 1 5");
        check("young n1 Running 1", "old n1 Running 1000");
        check("unready-dear n1 Running - 100", "ready-cheap n1 Running 10 -100");
    }

    #[test]
    fn a_crowded_node_gives_first() {
        let crowd = [pod("a n1 Running 1000"), pod("b n1 Running 1000"), pod("c n2 Running 1")];
        let mut sorted = crowd.clone();
        sort_for_deletion(&mut sorted, &crowd, NOW);
        assert_eq!(sorted[2].name(), "c");
    }

    #[test]
    fn ages_of_the_same_magnitude_are_decided_by_uid() {
        check("a n1 Running 900", "b n1 Running 800");
        check("a n1 Running 800", "b n1 Running 900");
    }
}
