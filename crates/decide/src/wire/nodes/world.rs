//! A small world for the timeline: pods come and go, nodes boot, the scheduler binds, the autoscaler decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use units::{Millis, Timestamp};

use super::input::{EventPlan, Plan};
use crate::nodes::{self, Decision, GroupView, InstanceState, InstanceView, Memory, ScaleDown, Snapshot};
use crate::scheduling::view::{NodeView, PodKey, PodPhase, PodView, Taint, TaintEffect};
use crate::scheduling::{Cluster, Placement, Profile, TieBreak, schedule};

/// What the `DefaultTolerationSeconds` admission gives every pod: how long it stays on a node that fails.
const FAILED_NODE_TOLERATION: Millis = Millis::from_secs(300);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const HOSTNAME: &str = "kubernetes.io/hostname";

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
    /// When the autoscaler looks next.
    next_loop: Timestamp,
    /// When the pods of failed nodes are evicted.
    evictions: BTreeMap<String, Timestamp>,
    lines: Vec<Value>,
}

/// Plays the plan to its end and answers the lines to print.
pub(super) fn play(mut plan: Plan) -> Vec<Value> {
    let events = std::mem::take(&mut plan.events);
    let mut world = World::new(plan);
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
    fn new(plan: Plan) -> World {
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
            next_loop: Timestamp(0),
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

    fn apply(&mut self, event: EventPlan) {
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
        for pod in event.add {
            self.pods.insert(pod.key(), Arc::new(pod));
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
            booted.extend(due.map(|(name, _)| new_node(&plan.template, name, self.now)));
        }
        for node in booted {
            self.start_daemons(&node);
            self.put_node(node);
        }
        let due: Vec<String> =
            self.evictions.iter().filter(|(_, at)| **at <= self.now).map(|(name, _)| name.clone()).collect();
        for node in due {
            self.evictions.remove(&node);
            self.empty_node(&node);
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
        for key in keys {
            self.evict(&key);
        }
    }

    fn evict(&mut self, key: &PodKey) {
        self.cluster.remove_pod(&key.namespace, &key.name);
        let Some(pod) = self.pods.remove(key) else { return };
        if pod.owner.is_some() && !pod.is_owned_by("DaemonSet") {
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
        let snapshot = self.snapshot();
        let decision = nodes::decide(&self.plan.profile, &snapshot, &mut self.memory);
        self.next_loop = decision.next;
        self.act(decision);
        // A loop that changed something is followed by another at once; once is enough in a world without delays.
        if self.next_loop <= self.now {
            let snapshot = self.snapshot();
            let decision = nodes::decide(&self.plan.profile, &snapshot, &mut self.memory);
            self.next_loop = self.now + self.plan.profile.scan_interval;
            self.act(decision);
        }
    }

    fn act(&mut self, decision: Decision) {
        for up in &decision.scale_ups {
            let Some(group) = self.plan.groups.iter().position(|group| group.name == up.group) else { continue };
            self.lines.push(json!({"t": self.time(), "group": up.group, "from": up.from, "to": up.to, "for": up.pods,
                                   "report": decision.report}));
            let ready = self.now + self.plan.node_boot;
            self.grow(group, up.to, ready);
        }
        for down in &decision.scale_downs {
            self.lines.push(json!({"t": self.time(), "group": down.group, "from": down.from, "to": down.to,
                                   "node": down.node, "reason": down.reason, "report": decision.report}));
            self.delete(down);
        }
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
        if self.bind() {
            self.next_loop = self.now;
        }
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
            pods: self.pods.values().cloned().collect(),
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

fn seconds(at: Timestamp) -> Value {
    if at.0 % 1000 == 0 { json!(at.0 / 1000) } else { json!(at.0 as f64 / 1000.0) }
}

fn new_node(template: &NodeView, name: &str, now: Timestamp) -> NodeView {
    let mut node = template.clone();
    node.name = name.to_owned();
    node.labels.insert(HOSTNAME.to_owned(), name.to_owned());
    node.created = now;
    node.ready = true;
    node.ready_changed = Some(now);
    node.unready_reason.clear();
    node
}
