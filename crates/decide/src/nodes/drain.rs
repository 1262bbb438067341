//! Which pods leave with a node, and which keep it.
//!
//! After `simulator/drainability/rules` of cluster-autoscaler 1.36.1, in its order. The rule that a pod's controller must
//! exist is left to the API server: a pod whose owner is gone is collected there.

use std::sync::Arc;

use units::{Millis, Timestamp};

use super::profile::Profile;
use crate::scheduling::view::{BudgetView, PodView, VolumeSource};

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const DAEMON_EVICTION: &str = "cluster-autoscaler.kubernetes.io/enable-ds-eviction";
/// A system pod without a budget keeps its node for this long (`--blocking-system-pod-distruption-timeout`).
const SYSTEM_POD_PROTECTION: Millis = Millis::from_secs(60 * 60);
const DEFAULT_GRACE_SECONDS: i64 = 30;
const LONG_TERMINATING_EXTRA: Millis = Millis::from_secs(30);

/// What happens to one pod when its node goes.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It goes with the node and is not counted.
    Ignored,
    Moves,
    /// The node waits until it has ended.
    AwaitsCompletion,
    Blocks(String),
}

/// The pods of a node that is to go.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// To be evicted and placed elsewhere.
    pub(super) moving: Vec<Arc<PodView>>,
    pub(super) daemons: Vec<Arc<PodView>>,
    pub(super) awaits_completion: bool,
}

/// Disruptions that the budgets still allow in this loop.
pub(super) struct Budgets(Vec<BudgetView>);

impl Budgets {
    pub(super) fn new(budgets: &[BudgetView]) -> Budgets {
        Budgets(budgets.to_vec())
    }

    fn covering<'a>(&'a self, pod: &'a PodView) -> impl Iterator<Item = &'a BudgetView> {
        self.0.iter().filter(|budget| budget.covers(pod))
    }

    /// Counts the pods' eviction, and says whether all of them may go at the same time.
    pub(super) fn take(&mut self, pods: &[Arc<PodView>]) -> bool {
        let mut at_once = true;
        for budget in &mut self.0 {
            let covered = pods.iter().filter(|pod| budget.covers(pod)).count() as i32;
            at_once &= budget.disruptions_allowed >= covered;
            budget.disruptions_allowed -= covered;
        }
        at_once
    }
}

/// # Errors
/// With the reason why one pod keeps the node.
pub(super) fn pods_to_move<'a>(
    profile: &Profile,
    budgets: &Budgets,
    pods: impl Iterator<Item = &'a Arc<PodView>>,
    now: Timestamp,
) -> Result<Pods, String> {
    let mut sorted = Pods::default();
    for pod in pods {
        match fate(profile, budgets, pod, now) {
            Fate::Ignored => {}
            Fate::Moves if pod.is_owned_by("DaemonSet") => sorted.daemons.push(Arc::clone(pod)),
            Fate::Moves => sorted.moving.push(Arc::clone(pod)),
            Fate::AwaitsCompletion => sorted.awaits_completion = true,
            Fate::Blocks(reason) => return Err(reason),
        }
    }
    // The order in which a node got its pods must not matter.
    sorted.moving.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    sorted.daemons.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(sorted)
}

fn fate(profile: &Profile, budgets: &Budgets, pod: &PodView, now: Timestamp) -> Fate {
    let says = |value: &str| pod.annotations.get(SAFE_TO_EVICT).is_some_and(|text| text == value);
    if pod.is_mirror() || is_long_terminating(pod, now) {
        return Fate::Ignored;
    }
    if pod.is_owned_by("DaemonSet") || says("true") || pod.is_terminal() {
        return Fate::Moves;
    }
    if says("on-completion") {
        return Fate::AwaitsCompletion;
    }
    if !is_recreated(pod) {
        return Fate::Blocks(format!("{} is not replicated", pod.key()));
    }
    if profile.skip_nodes_with_system_pods && is_blocking_system_pod(budgets, pod) {
        return if now > pod.created + SYSTEM_POD_PROTECTION {
            Fate::Moves
        } else {
            Fate::Blocks(format!("non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: {}", pod.name))
        };
    }
    if says("false") {
        return Fate::Blocks(format!("pod annotated as not safe to evict present: {}", pod.name));
    }
    if profile.skip_nodes_with_local_storage && has_blocking_local_storage(pod) {
        return Fate::Blocks(format!("pod with local storage present: {}", pod.name));
    }
    if budgets.covering(pod).any(|budget| budget.disruptions_allowed < 1) {
        return Fate::Blocks(format!("not enough pod disruption budget to move {}", pod.key()));
    }
    Fate::Moves
}

/// When the pod counts for nothing any more.
pub(super) fn end_of_termination(pod: &PodView) -> Option<Timestamp> {
    let grace = Millis::from_secs(pod.grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS));
    Some(pod.deleting? + grace + LONG_TERMINATING_EXTRA + Millis(1))
}

/// Whether a controller will make the pod anew.
fn is_recreated(pod: &PodView) -> bool {
    ["ReplicationController", "Job", "ReplicaSet", "StatefulSet"].iter().any(|kind| pod.is_owned_by(kind))
}

fn is_blocking_system_pod(budgets: &Budgets, pod: &PodView) -> bool {
    pod.namespace == "kube-system" && budgets.covering(pod).next().is_none()
}

/// A pod whose grace period is over and that still does not go counts for nothing.
pub(super) fn is_long_terminating(pod: &PodView, now: Timestamp) -> bool {
    end_of_termination(pod).is_some_and(|end| end <= now)
}

fn has_blocking_local_storage(pod: &PodView) -> bool {
    let safe: Vec<&str> = pod.annotations.get(SAFE_LOCAL_VOLUMES).map_or(Vec::new(), |text| text.split(',').collect());
    pod.volumes.iter().any(|volume| {
        let local = matches!(volume.source, VolumeSource::HostPath | VolumeSource::EmptyDir { memory: false });
        local && !safe.contains(&volume.name.as_str())
    })
}

/// The daemon pods that are evicted before the node goes; the others go with it.
pub(super) fn evicted_daemons(pods: &Pods, by_default: bool) -> impl Iterator<Item = &Arc<PodView>> {
    pods.daemons.iter().filter(move |pod| match pod.annotations.get(DAEMON_EVICTION).map(String::as_str) {
        Some("true") => true,
        Some("false") => false,
        _ => by_default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduling::view::{OwnerView, Selector, VolumeView};

    const NOW: Timestamp = Timestamp::from_secs(10_000);

    fn pod(owner: &str) -> PodView {
        let owner = OwnerView { kind: owner.into(), ..OwnerView::default() };
        PodView {
            namespace: "shop".into(),
            name: "p".into(),
            owner: (!owner.kind.is_empty()).then_some(owner),
            created: NOW,
            ..PodView::default()
        }
    }

    fn annotated(key: &str, value: &str) -> PodView {
        PodView { annotations: [(key.to_owned(), value.to_owned())].into(), ..pod("ReplicaSet") }
    }

    fn local() -> PodView {
        let volume = VolumeView { name: "cache".into(), source: VolumeSource::EmptyDir { memory: false } };
        PodView { volumes: vec![volume], ..pod("ReplicaSet") }
    }

    fn check(pod: PodView, change: impl Fn(&mut Profile), allowed: Option<i32>, expected: &Fate) {
        let mut profile = Profile::default();
        change(&mut profile);
        let budget = allowed.map(|disruptions_allowed| BudgetView {
            namespace: pod.namespace.clone(),
            name: "b".into(),
            selector: Selector::everything(),
            disruptions_allowed,
            disrupted: Default::default(),
        });
        let budgets = Budgets(budget.into_iter().collect());
        assert_eq!(fate(&profile, &budgets, &pod, NOW), *expected, "{pod:?}");
    }

    fn blocks(text: &str) -> Fate {
        Fate::Blocks(text.to_owned())
    }

    #[test]
    fn every_rule_decides_in_its_place() {
        let as_is = |_: &mut Profile| {};
        check(pod("ReplicaSet"), as_is, None, &Fate::Moves);
        check(pod(""), as_is, None, &blocks("shop/p is not replicated"));
        check(pod("Custom"), as_is, None, &blocks("shop/p is not replicated"));
        check(annotated("kubernetes.io/config.mirror", "x"), as_is, None, &Fate::Ignored);
        check(pod("DaemonSet"), as_is, Some(0), &Fate::Moves);
        check(annotated(SAFE_TO_EVICT, "true"), as_is, Some(0), &Fate::Moves);
        check(annotated(SAFE_TO_EVICT, "on-completion"), as_is, None, &Fate::AwaitsCompletion);
        check(annotated(SAFE_TO_EVICT, "false"), as_is, None, &blocks("pod annotated as not safe to evict present: p"));
        check(pod("ReplicaSet"), as_is, Some(0), &blocks("not enough pod disruption budget to move shop/p"));
        check(pod("ReplicaSet"), as_is, Some(1), &Fate::Moves);
    }

    #[test]
    fn system_pods_without_a_budget_keep_their_node_for_an_hour() {
        let system = |created| PodView { namespace: "kube-system".into(), created, ..pod("ReplicaSet") };
        let blocked = blocks("non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: p");
        check(system(NOW), |_| {}, None, &blocked);
        check(system(NOW), |_| {}, Some(1), &Fate::Moves);
        check(system(NOW), |profile| profile.skip_nodes_with_system_pods = false, None, &Fate::Moves);
        check(system(NOW - Millis::from_secs(3601)), |_| {}, None, &Fate::Moves);
    }

    #[test]
    fn local_storage_keeps_a_node_only_where_the_profile_says_so() {
        let skip = |profile: &mut Profile| profile.skip_nodes_with_local_storage = true;
        check(local(), |_| {}, None, &Fate::Moves);
        check(local(), skip, None, &blocks("pod with local storage present: p"));
        let safe = PodView { annotations: [(SAFE_LOCAL_VOLUMES.to_owned(), "a,cache".to_owned())].into(), ..local() };
        check(safe, skip, None, &Fate::Moves);
    }

    #[test]
    fn a_pod_that_will_not_go_counts_for_nothing() {
        let gone = |seconds: i64| PodView { deleting: Some(NOW - Millis::from_secs(seconds)), ..pod("ReplicaSet") };
        check(gone(60), |_| {}, None, &Fate::Moves);
        check(gone(61), |_| {}, None, &Fate::Ignored);
    }
}
