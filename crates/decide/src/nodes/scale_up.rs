//! Growing groups for pods that fit nowhere.
//!
//! After `core/scaleup/orchestrator` and `core/podlistprocessor` of cluster-autoscaler 1.36.1.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use units::{Millis, Timestamp};

use super::estimate::{PodGroup, estimate};
use super::expander::{GrowthOption, choose};
use super::health::{GroupHealth, is_backed_off};
use super::model::{Memory, NotHelped, ScaleUp, ScaleUpRequest};
use super::profile::Profile;
use super::reasons::Reasons;
use super::similar::are_similar;
use super::template;
use super::world::{World, is_expendable};
use crate::report::Reason;
use crate::scheduling::fits;
use crate::scheduling::view::{OwnerView, PodKey, PodView, Resources};

/// While the oldest pod is younger than this, the autoscaler waits for more to come.
const VERY_NEW: Millis = Millis::from_secs(2);

#[derive(Default)]
pub(super) struct Outcome {
    pub(super) scale_ups: Vec<ScaleUp>,
    pub(super) not_helped: Vec<NotHelped>,
    /// All pods were very new: neither up nor down in this loop.
    pub(super) waits_for_more: bool,
}

/// The pods that the scheduler gave up on and that fit neither on the nodes that are there nor on those to come. Those
/// that do fit are put there, so that scale-down leaves them their room.
pub(super) fn pods_to_help(profile: &Profile, world: &mut World<'_>, memory: &mut Memory) -> Vec<Arc<PodView>> {
    let snapshot = world.snapshot;
    let mut pods: Vec<Arc<PodView>> = snapshot.pods.iter().filter(|pod| waits_for_a_node(pod)).cloned().collect();
    // Pods on nodes that are being drained will need a place in a moment.
    let mut leaving: BTreeMap<PodKey, (Arc<PodView>, &str)> = BTreeMap::new();
    for (node, _) in memory.deleting.iter().filter(|(_, deletion)| deletion.drained) {
        let moving = world.cluster.pods_on(node).filter(|pod| pod.deleting.is_none());
        for pod in moving.filter(|pod| !pod.is_mirror() && !pod.is_owned_by("DaemonSet")) {
            pods.push(template::unbound(pod));
            leaving.insert(pod.key(), (Arc::clone(pod), node));
        }
    }
    // Among pods of one priority upstream has no order. Where many compete for few places that mostly leaves a pod over
    // which counts already, so those that do not yet come first; the rest is as good as drawn.
    let rank = |pod: &PodView| (world.cluster.priority(pod), pod.created + delay(profile, pod), scattered(pod));
    pods = sorted(pods, rank);
    pods.reverse();
    let mut hints = std::mem::take(&mut memory.pending_hints);
    let mut hopeless = Alike::default();
    world.filling = Some(BTreeMap::new());
    pods.retain(|pod| {
        if hopeless.find(pod).is_some() {
            return true;
        }
        let Some((index, shape)) = world.place_for(pod, &mut hints) else {
            hopeless.insert(pod);
            return true;
        };
        // Mostly nothing is being drained, and a key is two copied names.
        if !leaving.is_empty()
            && let Some((here, node)) = leaving.get(&pod.key())
        {
            world.take(here, node);
        }
        world.put_at(Arc::clone(pod), index, shape);
        false
    });
    world.filling = None;
    hints.drop_old();
    memory.pending_hints = hints;
    // Those that are left are helped from the oldest on.
    let rank = |pod: &PodView| (Reverse(world.cluster.priority(pod)), pod.created);
    sorted(pods, rank)
}

/// Each pod's rank is worked out once, and names, which are long to compare, only matter between equal ones.
fn sorted<K: Ord>(pods: Vec<Arc<PodView>>, rank: impl Fn(&PodView) -> K) -> Vec<Arc<PodView>> {
    let mut ranked: Vec<(K, Arc<PodView>)> = pods.into_iter().map(|pod| (rank(&pod), pod)).collect();
    ranked.sort_by(|(a, one), (b, other)| {
        a.cmp(b).then_with(|| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)))
    });
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

/// A number that has nothing to do with anything else about the pod (FNV-1a of its name).
fn scattered(pod: &PodView) -> u64 {
    let bytes = pod.namespace.bytes().chain([b'/']).chain(pod.name.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn waits_for_a_node(pod: &PodView) -> bool {
    pod.node.is_none()
        && pod.nominated_node.is_none()
        && pod.unschedulable_since.is_some()
        && pod.deleting.is_none()
        && !pod.is_terminal()
        && !pod.is_owned_by("DaemonSet")
        && !is_expendable(pod)
}

/// The instants at which the pod's age starts to count for more.
pub(super) fn turning_points(profile: &Profile, pod: &PodView) -> [Timestamp; 2] {
    [pod.created + delay(profile, pod) + Millis(1), pod.created + VERY_NEW]
}

pub(super) fn scale_up(
    profile: &Profile,
    world: &mut World<'_>,
    health: &[GroupHealth],
    memory: &mut Memory,
    mut pods: Vec<Arc<PodView>>,
    reasons: &mut Reasons,
) -> Outcome {
    let now = world.snapshot.now;
    pods.retain(|pod| now - pod.created > delay(profile, pod));
    let mut outcome = Outcome::default();
    let Some(oldest) = pods.iter().map(|pod| pod.created).min() else { return outcome };
    if oldest + VERY_NEW > now {
        outcome.waits_for_more = true;
        let text = "Unschedulable pods are very new, waiting one iteration for more";
        reasons.push(Reason::new("nodes.scale-up.very-new", text).with("pods", pods.len()));
        return outcome;
    }
    let mut plan = Plan::new(profile, world, health, memory, group_pods(pods));
    plan.find_options(world, reasons);
    plan.execute(world, memory, &mut outcome, reasons);
    outcome.not_helped = plan.not_helped(world);
    outcome
}

/// `new-pod-scale-up-delay`, or the pod's own where that is longer.
fn delay(profile: &Profile, pod: &PodView) -> Millis {
    let own = pod.annotations.get("cluster-autoscaler.kubernetes.io/pod-scale-up-delay");
    let own = own.and_then(|text| super::profile::duration(text).ok()).unwrap_or(Millis::ZERO);
    own.max(profile.new_pod_scale_up_delay)
}

/// As `equivalence.BuildPodGroups`: pods of one controller with the same labels and spec.
fn group_pods(pods: Vec<Arc<PodView>>) -> Vec<PodGroup> {
    let mut groups: Vec<PodGroup> = Vec::new();
    let mut alike = Alike::default();
    for pod in pods {
        match alike.find(&pod) {
            Some(group) => groups[group].push(pod),
            None => {
                alike.insert_as(&pod, groups.len());
                groups.push(vec![pod]);
            }
        }
    }
    groups
}

/// Pods that stand for those like them, by controller.
#[derive(Default)]
struct Alike {
    by_owner: BTreeMap<OwnerView, Vec<(Arc<PodView>, usize)>>,
}

impl Alike {
    /// Controllers with more kinds of pods than this are not looked through.
    const MOST_PER_OWNER: usize = 10;

    fn find(&self, pod: &PodView) -> Option<usize> {
        let known = self.by_owner.get(pod.owner.as_ref()?)?;
        known.iter().find(|(other, _)| are_equivalent(other, pod)).map(|(_, index)| *index)
    }

    fn insert(&mut self, pod: &Arc<PodView>) {
        self.insert_as(pod, 0);
    }

    fn insert_as(&mut self, pod: &Arc<PodView>, index: usize) {
        let Some(owner) = &pod.owner else { return };
        let known = self.by_owner.entry(owner.clone()).or_default();
        if known.len() < Self::MOST_PER_OWNER {
            known.push((Arc::clone(pod), index));
        }
    }
}

pub(super) fn are_equivalent(a: &PodView, b: &PodView) -> bool {
    a.owner.is_some() && a.owner == b.owner && a.priority == b.priority && a.is_filtered_like(b)
}

struct Plan<'p> {
    profile: &'p Profile,
    pods: Vec<PodGroup>,
    /// By pod group and node group: whether a new node would do, or why not.
    verdicts: Vec<BTreeMap<usize, Result<(), String>>>,
    /// Groups that are not considered, with upstream's reason.
    skipped: BTreeMap<usize, &'static str>,
    options: Vec<GrowthOption>,
}

impl<'p> Plan<'p> {
    fn new(
        profile: &'p Profile,
        world: &World<'_>,
        health: &[GroupHealth],
        memory: &Memory,
        pods: Vec<PodGroup>,
    ) -> Plan<'p> {
        let now = world.snapshot.now;
        let mut skipped = BTreeMap::new();
        for (index, group) in world.snapshot.groups.iter().enumerate() {
            let reason = if !health[index].is_healthy(profile, requested(memory, &group.name)) {
                Some("not ready for scale-up")
            } else if is_backed_off(memory, &group.name, now) {
                Some("in backoff after failed scale-up")
            } else if world.sizes[index] >= group.max {
                Some("max node group size reached")
            } else {
                None
            };
            skipped.extend(reason.map(|reason| (index, reason)));
        }
        let verdicts = vec![BTreeMap::new(); pods.len()];
        Plan { profile, pods, verdicts, skipped, options: Vec::new() }
    }

    fn find_options(&mut self, world: &mut World<'_>, reasons: &mut Reasons) {
        let snapshot = world.snapshot;
        for index in (0..snapshot.groups.len()).filter(|index| !self.skipped.contains_key(index)) {
            let name = format!("template-node-for-{}", snapshot.groups[index].name);
            let mark = world.mark();
            template::add(world, index, &name);
            for (pods, verdicts) in self.pods.iter().zip(&mut self.verdicts) {
                verdicts.insert(index, fits(world.cluster, &pods[0], &name));
            }
            world.revert(mark);
        }
        for index in (0..snapshot.groups.len()).filter(|index| !self.skipped.contains_key(index)) {
            let pods: Vec<PodGroup> = self.helped_by(index).map(|pods| self.pods[pods].clone()).collect();
            if pods.is_empty() {
                continue;
            }
            let group = &snapshot.groups[index];
            let similar = self.similar_to(world, index);
            let room = |index: usize| snapshot.groups[index].max - world.sizes[index];
            let limit = room(index) + similar.into_iter().map(room).sum::<i32>();
            let (nodes, pods) = estimate(world, index, pods, limit);
            if nodes > 0 && !pods.is_empty() {
                let option = GrowthOption { group: index, nodes, pods };
                let text = format!("{} would need {nodes} node(s) for {} pod(s)", group.name, option.pods.len());
                let reason = Reason::new("nodes.scale-up.option", text).with("group", group.name.as_str());
                let reason = reason.with("nodes", nodes).with("pods", option.pods.len());
                reasons.push(reason.with("waste", option.waste(group)));
                self.options.push(option);
            }
        }
        for (index, reason) in &self.skipped {
            let text = format!("{} is left out: {reason}", snapshot.groups[*index].name);
            reasons.push(Reason::new("nodes.scale-up.skipped", text));
        }
    }

    fn helped_by(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.pods.len()).filter(move |pods| matches!(self.verdicts[*pods].get(&group), Some(Ok(()))))
    }

    /// Groups of like nodes that can run all the pods that this one can.
    fn similar_to(&self, world: &World<'_>, group: usize) -> Vec<usize> {
        if !self.profile.balance_similar_node_groups {
            return Vec::new();
        }
        let groups = &world.snapshot.groups;
        let template = |group: usize| {
            let node = template::node(&groups[group], "a");
            let daemons = world.snapshot.daemon_sets.iter().filter(|pod| template::runs_on(pod, &node));
            let mut on_it = Resources::default();
            for pod in daemons {
                on_it.cpu += pod.requests.cpu;
                on_it.memory += pod.requests.memory;
            }
            (node, on_it)
        };
        let ((a, on_a), helped) = (template(group), self.helped_by(group).collect::<Vec<_>>());
        (0..groups.len())
            .filter(|other| *other != group && !self.skipped.contains_key(other))
            .filter(|other| {
                let (b, on_b) = template(*other);
                are_similar(&a, &on_a, &b, &on_b)
            })
            .filter(|other| helped.iter().all(|pods| matches!(self.verdicts[*pods].get(other), Some(Ok(())))))
            .collect()
    }

    fn execute(&mut self, world: &mut World<'_>, memory: &mut Memory, outcome: &mut Outcome, reasons: &mut Reasons) {
        let groups = &world.snapshot.groups;
        let Some(chosen) = choose(self.profile.expander, &self.options, groups, memory) else { return };
        let option = &self.options[chosen];
        let name = &groups[option.group].name;
        let text = format!("the {} expander chooses {name} among {}", self.profile.expander.name(), self.options.len());
        reasons.push(Reason::new("nodes.scale-up.expander", text));
        let mut members = vec![option.group];
        members.extend(self.similar_to(world, option.group));
        let sizes = balance(members.iter().map(|i| (world.sizes[*i], groups[*i].max)).collect(), option.nodes);
        let mut pods: Vec<PodKey> = option.pods.iter().map(|pod| pod.key()).collect();
        pods.sort_unstable();
        for (index, to) in members.into_iter().zip(sizes) {
            let (group, from) = (&groups[index].name, world.sizes[index]);
            if to > from {
                request(self.profile, world, memory, index, to);
                outcome.scale_ups.push(ScaleUp { group: group.clone(), from, to, pods: pods.clone() });
            }
        }
    }

    /// Pods for which no group was found, in the words of upstream's `NotTriggerScaleUp` event.
    fn not_helped(&self, world: &World<'_>) -> Vec<NotHelped> {
        let mut list = Vec::new();
        for (pods, verdicts) in self.pods.iter().zip(&self.verdicts) {
            if verdicts.values().any(Result::is_ok) {
                continue;
            }
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for reasons in verdicts.values().filter_map(|verdict| verdict.as_ref().err()) {
                for reason in reasons.split(", ") {
                    *counts.entry(reason).or_default() += 1;
                }
            }
            for reason in self.skipped.values() {
                *counts.entry(reason).or_default() += 1;
            }
            let parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let message = if world.snapshot.groups.is_empty() {
                "pod didn't trigger scale-up: there is no node group".to_owned()
            } else {
                format!("pod didn't trigger scale-up: {}", parts.join(", "))
            };
            list.extend(pods.iter().map(|pod| NotHelped { pod: pod.key(), message: message.clone() }));
        }
        list
    }
}

/// How many nodes of those that the group was asked for are still to come.
pub(super) fn requested(memory: &Memory, group: &str) -> i32 {
    memory.scale_up_requests.get(group).map_or(0, |request| request.increase)
}

/// Registers that the cloud is asked for so many nodes.
pub(super) fn request(profile: &Profile, world: &mut World<'_>, memory: &mut Memory, index: usize, to: i32) {
    let now = world.snapshot.now;
    let fresh = ScaleUpRequest { increase: 0, at: now, expected: now };
    let name = &world.snapshot.groups[index].name;
    let request = memory.scale_up_requests.entry(name.clone()).or_insert(fresh);
    request.increase += to - world.sizes[index];
    request.at = now;
    request.expected = now + profile.max_node_provision_time;
    world.sizes[index] = to;
    memory.last_scale_up = Some(now);
}

/// Sizes after `nodes` more, each given to the smallest group that has room, of two equals to the one that was smaller to
/// begin with; (size, max) per group.
fn balance(groups: Vec<(i32, i32)>, nodes: i32) -> Vec<i32> {
    let mut sizes: Vec<i32> = groups.iter().map(|(size, _)| *size).collect();
    for _ in 0..nodes {
        let open = (0..sizes.len()).filter(|index| sizes[*index] < groups[*index].1);
        let Some(smallest) = open.min_by_key(|index| (sizes[*index], groups[*index].0, *index)) else { break };
        sizes[smallest] += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use units::Millicores;

    use super::{Alike, OwnerView, PodView, balance, group_pods, scattered};

    #[test]
    fn pods_of_one_controller_are_one_group_up_to_a_number_of_kinds() {
        let pod = |cpu: i64| {
            let mut pod = PodView { owner: Some(OwnerView::default()), ..PodView::default() };
            pod.requests.cpu = Millicores(cpu);
            Arc::new(pod)
        };
        let sizes = |pods: Vec<_>| group_pods(pods).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![pod(1), pod(2), pod(1)]), [2, 1]);
        let kinds = Alike::MOST_PER_OWNER as i64 + 2;
        let twice = sizes((0..kinds).chain(0..kinds).map(pod).collect());
        assert_eq!(twice, [vec![2; Alike::MOST_PER_OWNER], vec![1; 4]].concat());
    }

    #[test]
    fn pods_are_scattered_by_their_names() {
        let of = |namespace: &str, name: &str| {
            scattered(&PodView { namespace: namespace.into(), name: name.into(), ..PodView::default() })
        };
        assert_eq!(of("d", "web-1"), of("d", "web-1"));
        assert_ne!(of("d", "web-1"), of("d", "web-2"));
        assert_ne!(of("d", "web-1"), of("e", "web-1"));
        assert_ne!(of("d", "e/f"), of("d/e", "f-"), "FNV-1a of the whole name");
    }

    fn check(groups: &[(i32, i32)], nodes: i32, expected: &[i32]) {
        assert_eq!(balance(groups.to_vec(), nodes), expected);
    }

    #[test]
    fn nodes_go_to_the_smallest_group_with_room() {
        check(&[(1, 5)], 3, &[4]);
        check(&[(1, 3)], 5, &[3]);
        check(&[(3, 9), (1, 9)], 3, &[3, 4]);
        check(&[(0, 9), (0, 9), (0, 1)], 5, &[2, 2, 1]);
    }
}
