//! A small world for the timeline: pods come and go, nodes boot, the scheduler binds, the autoscaler decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use units::{Millis, Timestamp};

use super::input::{EventPlan, Plan};
use crate::nodes::{
    self, Decision, GroupView, InstanceState, InstanceView, Memory, ScaleDown, ScaleDownReason, Snapshot,
};
use crate::report::Report;
use crate::scheduling::view::{NodeView, PodKey, PodPhase, PodView, Taint, TaintEffect};
use crate::scheduling::{Cluster, Placement, Profile, TieBreak, schedule};

/// What the `DefaultTolerationSeconds` admission gives every pod: how long it stays on a node that fails.
const FAILED_NODE_TOLERATION: Millis = Millis::from_secs(300);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const HOSTNAME: &str = "kubernetes.io/hostname";
const CANDIDATE_TAINT: &str = "DeletionCandidateOfClusterAutoscaler";
/// Candidate taints written in one loop at most (`--max-bulk-soft-taint-count`).
const CANDIDATES_PER_LOOP: usize = 10;
/// How long the first nodes have been there at t = 0: longer than every time that an autoscaler waits for a node.
const AGE_OF_FIRST_NODES: Millis = Millis::from_secs(24 * 60 * 60);
/// A loop that changes something is followed by another at once; this many are more than groups and nodes can ask for.
const MOST_LOOPS_AT_ONCE: i64 = 10_000;
/// Between such loops. It is not nothing: a node that has been without need since just one scan interval too few may go.
const MOMENT: Millis = Millis(2);

struct Group {
    size: i32,
    /// Counts up and is never used twice.
    next_number: usize,
    /// Instances with the instant at which their node is ready.
    instances: BTreeMap<String, Timestamp>,
}

struct World {
    plan: Plan,
    now: Timestamp,
    groups: Vec<Group>,
    nodes: BTreeMap<String, Arc<NodeView>>,
    pods: BTreeMap<PodKey, Arc<PodView>>,
    cluster: Cluster,
    tie: TieBreak,
    memory: Memory,
    /// Timed loops come every scan interval after this one.
    last_loop: Timestamp,
    /// When the autoscaler looks next.
    next_loop: Timestamp,
    /// Whether loops that can change nothing are left out.
    skips: bool,
    /// When the pods of failed nodes are evicted.
    evictions: BTreeMap<String, Timestamp>,
    lines: Vec<Value>,
}

/// Plays the plan to its end and answers the lines to print.
///
/// The autoscaler starts at t = 0: its first timed loop comes after one scan interval, as in its `main.go`.
pub(super) fn play(plan: Plan) -> Vec<Value> {
    play_with(plan, true)
}

/// `skips`: whether loops that can change nothing are left out, which must not change a line.
pub(super) fn play_with(mut plan: Plan, skips: bool) -> Vec<Value> {
    let events = std::mem::take(&mut plan.events);
    let mut world = World::new(plan, skips);
    let mut events = events.into_iter().peekable();
    loop {
        let now = world.now;
        while let Some(event) = events.next_if(|event| event.at <= now) {
            world.apply(event);
        }
        world.advance();
        if world.bind() {
            world.next_loop = world.now;
        }
        if world.next_loop <= world.now {
            world.decide();
        }
        let upcoming = [events.peek().map(|event| event.at), Some(world.next_loop), world.next_change()];
        let next = upcoming.into_iter().flatten().filter(|at| *at > world.now).min();
        match next {
            Some(at) if at <= world.plan.end => world.now = at,
            _ => break,
        }
    }
    world.finish()
}

impl World {
    fn new(plan: Plan, skips: bool) -> World {
        let mut cluster = Cluster::new();
        cluster.set_budgets(plan.budgets.iter().cloned());
        let empty = |_| Group { size: 0, next_number: 0, instances: BTreeMap::new() };
        let mut world = World {
            now: Timestamp(0),
            groups: plan.groups.iter().map(empty).collect(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            cluster,
            tie: TieBreak::new(plan.seed),
            memory: Memory { random: plan.seed, ..Memory::default() },
            last_loop: Timestamp(0),
            next_loop: Timestamp(0) + plan.profile.scan_interval,
            skips,
            evictions: BTreeMap::new(),
            lines: Vec::new(),
            plan,
        };
        for index in 0..world.groups.len() {
            let size = world.plan.groups[index].size;
            world.grow(index, size, Timestamp(0));
        }
        world
    }

    fn grow(&mut self, group: usize, size: i32, ready: Timestamp) {
        let name = &self.plan.groups[group].name;
        let state = &mut self.groups[group];
        for _ in state.size..size {
            state.instances.insert(format!("{name}-{}", state.next_number), ready);
            state.next_number += 1;
        }
        state.size = size;
    }

    /// Something changed: no timed loop may be left out any more.
    fn wake(&mut self) {
        let interval = self.plan.profile.scan_interval.0;
        let passed = (self.now - self.last_loop).0;
        let loops = (passed + interval - 1) / interval;
        self.next_loop = self.next_loop.min(self.last_loop + Millis(interval.saturating_mul(loops.max(1))));
    }

    fn apply(&mut self, event: EventPlan) {
        self.wake();
        for key in event.remove {
            self.pods.remove(&key);
            self.cluster.remove_pod(&key.namespace, &key.name);
        }
        if let Some(node) = event.fail.as_ref().and_then(|name| self.nodes.get(name)) {
            let mut view = NodeView::clone(node);
            view.ready = false;
            view.ready_changed = Some(self.now);
            view.unready_reason = "NodeStatusUnknown".to_owned();
            for effect in [TaintEffect::NoSchedule, TaintEffect::NoExecute] {
                view.taints.push(Taint::new(UNREACHABLE, "", effect));
            }
            self.evictions.insert(view.name.clone(), self.now + FAILED_NODE_TOLERATION);
            self.put_node(view);
        }
        for mut pod in event.add {
            if pod.node.is_some() {
                pod.phase = PodPhase::Running;
            }
            let pod = Arc::new(pod);
            self.cluster.upsert_pod(Arc::clone(&pod));
            self.pods.insert(pod.key(), pod);
        }
    }

    fn put_node(&mut self, view: NodeView) {
        let view = Arc::new(view);
        self.cluster.upsert_node(Arc::clone(&view));
        self.nodes.insert(view.name.clone(), view);
    }

    /// What time alone changes: nodes become ready, failed ones lose their pods.
    fn advance(&mut self) {
        let mut booted = Vec::new();
        for (plan, group) in self.plan.groups.iter().zip(&self.groups) {
            let due =
                group.instances.iter().filter(|(name, ready)| **ready <= self.now && !self.nodes.contains_key(*name));
            let created = if self.now == Timestamp(0) { self.now - AGE_OF_FIRST_NODES } else { self.now };
            booted.extend(due.map(|(name, _)| new_node(&plan.template, name, created)));
        }
        if !booted.is_empty() {
            self.wake();
        }
        for node in booted {
            self.start_daemons(&node);
            self.put_node(node);
        }
        let due: Vec<String> =
            self.evictions.iter().filter(|(_, at)| **at <= self.now).map(|(name, _)| name.clone()).collect();
        for node in due {
            self.wake();
            self.evictions.remove(&node);
            let leaves = |pod: &PodView| !pod.is_owned_by("DaemonSet") && !pod.is_mirror();
            let keys: Vec<PodKey> =
                self.cluster.pods_on(&node).filter(|pod| leaves(pod)).map(|pod| pod.key()).collect();
            keys.iter().for_each(|key| self.evict(key));
        }
    }

    fn start_daemons(&mut self, node: &NodeView) {
        let mut trial = Cluster::new();
        trial.upsert_node(node.clone());
        let name = &node.name;
        for daemon in &self.plan.daemons {
            let mut pod = PodView::clone(daemon);
            pod.name = format!("{}-{name}", daemon.name);
            pod.created = self.now;
            if crate::scheduling::fits(&trial, &pod, name).is_err() {
                continue;
            }
            pod.node = Some(name.clone());
            pod.phase = PodPhase::Running;
            let pod = Arc::new(pod);
            trial.upsert_pod(Arc::clone(&pod));
            self.cluster.upsert_pod(Arc::clone(&pod));
            self.pods.insert(pod.key(), pod);
        }
    }

    /// The pods of a node end; those with a controller come back under the same name and wait for a node.
    fn empty_node(&mut self, node: &str) {
        let keys: Vec<PodKey> = self.cluster.pods_on(node).map(|pod| pod.key()).collect();
        keys.iter().for_each(|key| self.evict(key));
    }

    fn evict(&mut self, key: &PodKey) {
        self.cluster.remove_pod(&key.namespace, &key.name);
        let Some(pod) = self.pods.remove(key) else { return };
        if pod.owner.is_some() && !pod.is_owned_by("DaemonSet") && !pod.is_mirror() {
            let again = PodView {
                node: None,
                nominated_node: None,
                phase: PodPhase::Pending,
                started: None,
                unschedulable_since: None,
                created: self.now.truncated(),
                ..PodView::clone(&pod)
            };
            self.pods.insert(key.clone(), Arc::new(again));
        }
    }

    /// Binds what fits; whether some pod was found unschedulable for the first time.
    fn bind(&mut self) -> bool {
        let mut waiting: Vec<Arc<PodView>> =
            self.pods.values().filter(|pod| pod.node.is_none() && pod.gates.is_empty()).cloned().collect();
        waiting.sort_by_cached_key(|pod| (std::cmp::Reverse(self.cluster.priority(pod)), pod.created, pod.key()));
        let mut appeared = false;
        let mut index = 0;
        while let Some(pod) = waiting.get(index).cloned() {
            index += 1;
            match schedule(&self.cluster, &pod, &Profile::exhaustive(), &mut self.tie).placement {
                Placement::Bound { node, .. } => self.run_on(&pod, node),
                Placement::Unschedulable { preemption: Some(preemption), .. } => {
                    for victim in &preemption.victims {
                        self.evict(victim);
                        waiting.extend(self.pods.get(victim).cloned());
                    }
                    self.run_on(&pod, preemption.node);
                }
                Placement::Unschedulable { .. } if pod.unschedulable_since.is_none() => {
                    appeared = true;
                    let view = PodView { unschedulable_since: Some(self.now), ..PodView::clone(&pod) };
                    self.pods.insert(pod.key(), Arc::new(view));
                }
                Placement::Unschedulable { .. } | Placement::Gated { .. } => {}
            }
        }
        appeared
    }

    fn run_on(&mut self, pod: &PodView, node: String) {
        self.wake();
        let view = PodView {
            node: Some(node),
            phase: PodPhase::Running,
            started: Some(self.now),
            unschedulable_since: None,
            ..pod.clone()
        };
        let view = Arc::new(view);
        self.cluster.upsert_pod(Arc::clone(&view));
        self.pods.insert(view.key(), view);
    }

    fn decide(&mut self) {
        self.last_loop = self.now;
        for moments in 0..MOST_LOOPS_AT_ONCE {
            let mut snapshot = self.snapshot();
            snapshot.now = self.now + Millis(moments * MOMENT.0);
            let decision = nodes::decide_on(&self.plan.profile, &snapshot, &mut self.memory, &mut self.cluster);
            let marked = decision.unhealthy || self.mark_candidates(&decision);
            self.next_loop = self.timed_loop(decision.quiet_until.filter(|_| self.skips && marked));
            let again = decision.next <= snapshot.now;
            self.act(decision);
            if !again {
                break;
            }
        }
    }

    /// The first timed loop, or the first at or after `quiet_until`.
    fn timed_loop(&self, quiet_until: Option<Timestamp>) -> Timestamp {
        let interval = self.plan.profile.scan_interval.0;
        let quiet = quiet_until.map_or(0, |until| (until - self.now).0.max(0));
        let loops = (quiet / interval + i64::from(quiet % interval > 0)).max(1);
        self.now + Millis(interval.saturating_mul(loops))
    }

    fn act(&mut self, decision: Decision) {
        // What never became a node is deleted before the loop looks at anything else; sizes count on it.
        let (instances, nodes): (Vec<_>, Vec<_>) = decision
            .scale_downs
            .iter()
            .partition(|down| matches!(down.reason, ScaleDownReason::Unregistered | ScaleDownReason::CreationFailed));
        for down in instances {
            self.shrink(down, &decision.report);
        }
        for up in &decision.scale_ups {
            let Some(group) = self.plan.groups.iter().position(|group| group.name == up.group) else { continue };
            self.lines.push(json!({"t": self.time(), "group": up.group, "from": up.from, "to": up.to, "for": up.pods,
                                   "report": decision.report}));
            let ready = self.now + self.plan.node_boot;
            self.grow(group, up.to, ready);
        }
        for down in nodes {
            self.shrink(down, &decision.report);
        }
        // All nodes are marked before the first pod leaves, so none moves from one that goes to another that goes.
        if !decision.scale_downs.is_empty() {
            self.wake();
            self.bind();
        }
    }

    fn shrink(&mut self, down: &ScaleDown, report: &Report) {
        self.lines.push(json!({"t": self.time(), "group": down.group, "from": down.from, "to": down.to,
                               "node": down.node, "reason": down.reason, "report": report}));
        self.delete(down);
    }

    fn delete(&mut self, down: &ScaleDown) {
        let Some(index) = self.plan.groups.iter().position(|group| group.name == down.group) else { return };
        self.empty_node(&down.node);
        self.cluster.remove_node(&down.node);
        self.nodes.remove(&down.node);
        self.evictions.remove(&down.node);
        let group = &mut self.groups[index];
        group.instances.remove(&down.node);
        group.size -= 1;
    }

    /// Pods rather go elsewhere than on nodes without need: those get a taint, a few in each loop. The answer is whether
    /// all have what they should.
    fn mark_candidates(&mut self, decision: &Decision) -> bool {
        let unneeded: BTreeSet<&str> = decision.unneeded.iter().map(|unneeded| unneeded.node.as_str()).collect();
        let wrong = |node: &&Arc<NodeView>| node.has_taint(CANDIDATE_TAINT) != unneeded.contains(node.name.as_str());
        let mut changes: Vec<NodeView> = self.nodes.values().filter(wrong).map(|node| NodeView::clone(node)).collect();
        // Taints are taken away first.
        changes.sort_by_key(|node| !node.has_taint(CANDIDATE_TAINT));
        let all = changes.len() <= CANDIDATES_PER_LOOP;
        for mut node in changes.into_iter().take(CANDIDATES_PER_LOOP) {
            if node.has_taint(CANDIDATE_TAINT) {
                node.taints.retain(|taint| taint.key != CANDIDATE_TAINT);
            } else {
                node.taints.push(Taint::new(CANDIDATE_TAINT, "", TaintEffect::PreferNoSchedule));
            }
            self.put_node(node);
        }
        all
    }

    fn snapshot(&self) -> Snapshot {
        let groups = self.plan.groups.iter().zip(&self.groups).map(|(plan, group)| GroupView {
            name: plan.name.clone(),
            min: plan.min,
            max: plan.max,
            target_size: group.size,
            template: Arc::clone(&plan.template),
            instances: group.instances.keys().map(|name| self.instance(name)).collect(),
            priority: plan.priority,
        });
        Snapshot {
            now: self.now,
            groups: groups.collect(),
            nodes: self.nodes.values().cloned().collect(),
            pods: self.pods.values().filter(|pod| is_shown(pod)).cloned().collect(),
            daemon_sets: self.plan.daemons.clone(),
            budgets: self.plan.budgets.clone(),
            surroundings: nodes::Surroundings::default(),
        }
    }

    fn instance(&self, name: &str) -> InstanceView {
        let state = if self.nodes.contains_key(name) { InstanceState::Running } else { InstanceState::Creating };
        InstanceView { name: name.to_owned(), state, error: None }
    }

    fn next_change(&self) -> Option<Timestamp> {
        let boots = self.groups.iter().flat_map(|group| group.instances.values());
        boots.chain(self.evictions.values()).copied().filter(|at| *at > self.now).min()
    }

    /// Seconds from the start with at most three decimals, whole ones without.
    fn time(&self) -> Value {
        seconds(self.now)
    }

    fn finish(mut self) -> Vec<Value> {
        let sizes: BTreeMap<&str, i32> =
            self.plan.groups.iter().zip(&self.groups).map(|(plan, group)| (plan.name.as_str(), group.size)).collect();
        let pending: BTreeSet<String> =
            self.pods.values().filter(|pod| pod.node.is_none()).map(|pod| pod.key().to_string()).collect();
        self.lines.push(json!({"t": seconds(self.plan.end), "sizes": sizes, "pending": pending}));
        self.lines
    }
}

/// Of bound pods, which the cluster holds, only those that the autoscaler leaves out.
fn is_shown(pod: &PodView) -> bool {
    pod.node.is_none() || pod.deleting.is_some() || pod.priority.is_some_and(|priority| priority < 0)
}

fn seconds(at: Timestamp) -> Value {
    if at.0 % 1000 == 0 { json!(at.0 / 1000) } else { json!(at.0 as f64 / 1000.0) }
}

fn new_node(template: &NodeView, name: &str, created: Timestamp) -> NodeView {
    let mut node = template.clone();
    node.name = name.to_owned();
    node.labels.insert(HOSTNAME.to_owned(), name.to_owned());
    node.created = created;
    node.ready = true;
    node.ready_changed = Some(created);
    node.unready_reason.clear();
    node
}
