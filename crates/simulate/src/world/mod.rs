//! The platform and everything around it, moved from event to event.
//!
//! Within one instant: what was planned, the load, the metrics' sample, scheduling, the autoscalers' syncs in the order of
//! the workloads, the node autoscaler. Between instants nothing changes but sums.

mod autoscaler;
mod drain;
mod event;
mod fault;
mod flow;
mod hpa;
mod metrics;
mod node;
mod pod;
mod scheduler;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use decide::nodes::Memory as NodesMemory;
use decide::scheduling::queue::Queue;
use decide::scheduling::view::PodKey;
use decide::scheduling::{Cluster, TieBreak};
use units::Timestamp;

use crate::outcome::{Outcome, Record};
use crate::plan::Plan;
use crate::random::Random;
use crate::scenario::{Scenario, ScenarioError};
use event::{Event, Events};
use flow::Flow;
use node::Instance;
use pod::Pod;
use workload::Running;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(u32);

/// How a simulation is run; none of it changes a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Leave out syncs and loops that cannot change anything.
    pub skip: bool,
    /// Keep every decision with its reasons.
    pub timeline: bool,
    /// Keep what every minute was like.
    pub series: bool,
    /// Hold every step against `decide::check`; findings end in [`Outcome::findings`].
    pub check: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { skip: true, timeline: true, series: true, check: false }
    }
}

impl Options {
    /// Only the summary, as fast as it can be had.
    pub fn summary() -> Options {
        Options { timeline: false, series: false, ..Options::default() }
    }
}

/// Faults that are going on.
#[derive(Default)]
struct Trouble {
    metrics: u32,
    quota: u32,
    registry: u32,
    /// Boots take so many times as long.
    boot: f64,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    options: Options,
    now: i64,
    end: i64,
    events: Events,
    random: Random,
    pods: Vec<Option<Pod>>,
    workloads: Vec<Running>,
    instances: Vec<Option<Instance>>,
    /// By node or instance name.
    names: BTreeMap<String, InstanceId>,
    /// By pool: counts up and is never used twice.
    numbers: Vec<u32>,
    sizes: Vec<i32>,
    by_key: BTreeMap<PodKey, PodId>,
    /// Pods that the node autoscaler looks at one by one: those that are not bound, are being deleted, or may be left out.
    watched: BTreeSet<PodId>,
    cluster: Cluster,
    queue: Queue,
    tie: TieBreak,
    autoscaler: autoscaler::Loop,
    memory: NodesMemory,
    /// Goes up with every change that the node autoscaler may see.
    version: u64,
    /// Goes up with every change that may make room for a pod.
    room: u64,
    /// By workload: the filters that kept its last pod off every node, and the room that there was then.
    hopeless: BTreeMap<usize, (u64, Arc<[String]>)>,
    /// Nodes with the soft taint of the autoscaler.
    candidates: BTreeSet<String>,
    /// Workloads whose controller must look again.
    dirty: BTreeSet<usize>,
    flow: Flow<'a>,
    next_sample: i64,
    last_sample: i64,
    next_sync: i64,
    trouble: Trouble,
    /// Pools that the cloud left below their minimum, by refusing a machine that was to replace one, until they have grown again.
    short: BTreeSet<usize>,
    record: Record<'a>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, options: Options) -> Result<World<'a>, ScenarioError> {
        let plan = Plan::new(scenario)?;
        let mut random = Random::new(scenario.seed);
        let delay = scenario.cloud.metrics_delay.0;
        // Whatever the phase of metrics-server is, it is not the controller's.
        let next_sample = random.below(usize::try_from(delay).unwrap_or(1)) as i64;
        let mut cluster = Cluster::new();
        cluster.set_services(plan.services.iter().cloned());
        cluster.set_owners(plan.owners.iter().cloned());
        cluster.set_budgets(plan.budgets.iter().map(|budget| budget.view.clone()));
        let pools = plan.pools.len();
        let mut world = World {
            flow: Flow::new(scenario, &plan),
            record: Record::new(scenario, &plan, options),
            workloads: plan.workloads.iter().map(|workload| Running::new(scenario, workload)).collect(),
            scenario,
            options,
            now: 0,
            end: scenario.duration.0,
            events: Events::default(),
            random,
            pods: Vec::new(),
            instances: Vec::new(),
            names: BTreeMap::new(),
            numbers: vec![0; pools],
            sizes: vec![0; pools],
            by_key: BTreeMap::new(),
            watched: BTreeSet::new(),
            cluster,
            queue: Queue::new(),
            tie: TieBreak::new(scenario.seed),
            autoscaler: autoscaler::Loop::default(),
            memory: NodesMemory { random: scenario.seed, ..NodesMemory::default() },
            version: 0,
            room: 0,
            hopeless: BTreeMap::new(),
            candidates: BTreeSet::new(),
            dirty: BTreeSet::new(),
            next_sample,
            last_sample: 0,
            next_sync: plan.hpa.sync_period.0,
            trouble: Trouble { boot: 1.0, ..Trouble::default() },
            short: BTreeSet::new(),
            plan,
        };
        world.populate();
        Ok(world)
    }

    /// The platform as it is after it was deployed and left alone for a day.
    fn populate(&mut self) {
        for pool in 0..self.plan.pools.len() {
            for _ in 0..self.plan.pools[pool].min {
                let instance = self.new_instance(pool, pod::LONG_AGO);
                self.register(instance, pod::LONG_AGO);
                self.rest(instance);
            }
        }
        for workload in 0..self.plan.workloads.len() {
            for _ in 0..self.plan.workloads[workload].replicas {
                self.create_pod(workload, pod::LONG_AGO);
            }
        }
        self.schedule();
        for (index, fault) in self.scenario.faults.iter().enumerate() {
            self.events.plan(fault.at.0, Event::Fault(index));
        }
        self.refresh_budgets();
        self.flow.changed = true;
        self.reflow();
    }

    pub(crate) fn run(mut self) -> Outcome {
        while let Some(at) = self.next_instant() {
            self.now = at;
            self.step();
            if self.options.skip {
                self.coast();
            }
        }
        self.now = self.end;
        self.hand_over();
        for instance in 0..self.instances.len() {
            if self.instances[instance].is_some() {
                self.bill(InstanceId(instance as u32));
            }
        }
        let pending = self.pending();
        self.record.finish(&self.plan, &self.sizes, pending, self.end)
    }

    fn next_instant(&self) -> Option<i64> {
        let next = self.next_sync.min(self.next_sample).min(self.next_other());
        (next <= self.end).then_some(next)
    }

    /// The next instant beside the metrics' samples and the pod autoscalers' syncs.
    fn next_other(&self) -> i64 {
        let mut next = self.autoscaler.next.min(self.flow.due);
        if let Some(at) = self.flow.next_change() {
            next = next.min(at);
        }
        if let Some(at) = self.events.next_at() {
            next = next.min(at);
        }
        next
    }

    fn step(&mut self) {
        while let Some(event) = self.events.pop(self.now) {
            self.happen(event);
        }
        self.flow.follow_load(self.now);
        if self.flow.changed || self.flow.due <= self.now {
            self.reflow();
        }
        if self.next_sample <= self.now {
            self.sample();
            self.next_sample += self.scenario.cloud.metrics_delay.0;
        }
        self.settle();
        if self.next_sync <= self.now {
            self.sync();
            self.next_sync += self.plan.hpa.sync_period.0;
            self.settle();
        }
        self.follow_up();
    }

    /// The end of a step, after the pod autoscalers.
    fn follow_up(&mut self) {
        let interval = self.plan.autoscaler.scan_interval.0;
        self.autoscaler.notice(self.now, self.version, interval);
        if self.autoscaler.next <= self.now {
            self.node_loop();
            self.settle();
            self.autoscaler.notice(self.now, self.version, interval);
        }
        if self.flow.changed {
            self.reflow();
        }
    }

    /// Goes on with samples and syncs alone up to the next instant at which anything else may happen: in between, a step has
    /// nothing else to do.
    fn coast(&mut self) {
        if self.flow.changed || !self.dirty.is_empty() || !self.queue.is_empty() {
            return;
        }
        let until = self.next_other().min(self.end + 1);
        let version = self.version;
        loop {
            let at = self.next_sample.min(self.next_sync);
            if at >= until {
                return;
            }
            self.now = at;
            if self.next_sample <= at {
                self.sample();
                self.next_sample += self.scenario.cloud.metrics_delay.0;
            }
            if self.next_sync <= at {
                self.sync();
                self.next_sync += self.plan.hpa.sync_period.0;
                if !self.dirty.is_empty() || self.version != version {
                    self.settle();
                    self.follow_up();
                    return;
                }
                self.leap(until);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Booted(instance) => self.booted(instance),
            Event::Started(pod) => self.started(pod),
            Event::Ready(pod) => self.ready(pod),
            Event::Serving(pod) => self.serving(pod),
            Event::Left(pod) => self.left(pod),
            Event::Gone(pod) => self.gone(pod),
            Event::Retry => {}
            Event::Drain(instance) => self.drain(instance),
            Event::Unreachable(instance) => self.unreachable(instance),
            Event::Evicted(instance) => self.give_up(instance),
            Event::Fault(index) => self.fault(index),
            Event::FaultEnds(index) => self.fault_ends(index),
        }
    }

    /// Controllers and scheduler until nobody has anything left to do in this instant.
    fn settle(&mut self) {
        loop {
            while let Some(workload) = self.dirty.pop_first() {
                self.reconcile(workload);
            }
            if !self.schedule() && self.dirty.is_empty() {
                break;
            }
        }
        if self.options.check && self.version != self.record.checked_version {
            self.record.checked_version = self.version;
            self.check();
        }
    }

    fn check(&mut self) {
        self.short.retain(|pool| self.sizes[*pool] < self.plan.pools[*pool].min);
        let mut groups = self.group_views(false);
        for pool in &self.short {
            groups[*pool].min = self.sizes[*pool];
        }
        let state =
            decide::check::State { nodes: self.node_views().collect(), pods: self.pod_views().collect(), groups };
        let findings = decide::check::state(&state);
        self.record.findings(self.now, findings.iter().map(|finding| format!("{finding:?}")));
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp(self.now)
    }

    fn pod(&self, id: PodId) -> Option<&Pod> {
        self.pods.get(id.0 as usize)?.as_ref()
    }

    fn pod_mut(&mut self, id: PodId) -> Option<&mut Pod> {
        self.pods.get_mut(id.0 as usize)?.as_mut()
    }

    fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(id.0 as usize)?.as_ref()
    }

    fn instance_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.get_mut(id.0 as usize)?.as_mut()
    }

    fn pod_views(&self) -> impl Iterator<Item = Arc<decide::scheduling::PodView>> + '_ {
        self.pods.iter().flatten().map(|pod| Arc::clone(&pod.view))
    }

    fn node_views(&self) -> impl Iterator<Item = Arc<decide::scheduling::NodeView>> + '_ {
        self.names.values().filter_map(|id| self.instance(*id)?.node.clone())
    }

    fn pending(&self) -> Vec<String> {
        let waiting = self.pods.iter().flatten().filter(|pod| pod.view.node.is_none());
        let mut names: Vec<String> = waiting.map(|pod| pod.view.key().to_string()).collect();
        names.sort();
        names
    }
}
