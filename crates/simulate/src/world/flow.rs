//! Requests through the replicas that are there, between two changes of anything.

use std::collections::BTreeMap;

use units::Bytes;

use super::pod::State;
use super::{InstanceId, World};
use crate::flow::credits::Cpu;
use crate::flow::latency::{Response, Tables};
use crate::flow::server::{Database, Replica, Served, serve};
use crate::load::Walk;
use crate::outcome::Passage;
use crate::plan::Plan;
use crate::scenario::{Scenario, Work};

/// While a backlog grows or shrinks, response times are looked at anew this often.
const BACKLOG_STEP: i64 = 5_000;

pub(super) struct Flow<'a> {
    streams: Vec<Stream<'a>>,
    works: Vec<Option<WorkFlow<'a>>>,
    pub(super) tables: Tables,
    /// Something that the flow depends on is different.
    pub(super) changed: bool,
    /// When it changes by itself.
    pub(super) due: i64,
    /// Everything until then is in the sums.
    accounted: i64,
    /// Since when it has been as it is.
    pub(super) since: i64,
    pub(super) surge: f64,
    pub(super) database_down: u32,
    pub(super) database_slowness: f64,
    database: Option<DatabaseFlow>,
    overhead: f64,
    objectives: [f64; 3],
    /// By workload, kept for their room: requests a second, cores that a pod would use, cores that it uses, whether some of its
    /// pods get less than they want.
    rates: Vec<f64>,
    wanted: Vec<f64>,
    uses: Vec<Option<f64>>,
    touched: Vec<bool>,
}

/// A route of the load.
struct Stream<'a> {
    walk: Walk<'a>,
    rate: f64,
    /// Workloads that each of its requests asks, with how often.
    asks: Vec<(usize, f64)>,
    passage: Passage,
    /// How long requests have gone this way, beyond what the record knows.
    pending: i64,
}

struct WorkFlow<'a> {
    work: &'a Work,
    log2_timeout: f64,
    groups: Vec<Group>,
    /// The share of single attempts that fail.
    failing: f64,
    memory: Bytes,
    connections: u32,
}

/// Replicas that are in the same position.
#[derive(Clone, Copy, Debug)]
struct Group {
    pods: usize,
    replica: Replica,
    alive: bool,
    /// Requests a second to each, and waiting at each.
    rate: f64,
    backlog: f64,
    served: Served,
    /// Cores.
    used: f64,
    failing: f64,
}

struct DatabaseFlow {
    cpu: Cpu,
    used: f64,
    connections: u32,
}

impl<'a> Flow<'a> {
    pub(super) fn new(scenario: &'a Scenario, plan: &Plan) -> Flow<'a> {
        let find = |name: &str| plan.workloads.iter().position(|workload| workload.name == name);
        let works = plan.workloads.iter().map(|workload| {
            let work = scenario.work.get(&workload.name)?;
            let named = work.database.as_ref().and_then(|database| database.connections);
            let connections = named.unwrap_or(workload.connections);
            let log2_timeout = libm::log2(work.timeout);
            Some(WorkFlow { work, log2_timeout, groups: Vec::new(), failing: 0.0, memory: work.memory, connections })
        });
        let stream = |route: &'a crate::load::Route| {
            let asks = match &route.workload {
                Some(name) => find(name).map(|index| (index, 1.0)).into_iter().collect(),
                None => scenario
                    .work
                    .iter()
                    .filter(|(_, work)| work.share > 0.0)
                    .filter_map(|(name, work)| Some((find(name)?, work.share)))
                    .collect(),
            };
            Stream { walk: Walk::new(&route.curve), rate: 0.0, asks, passage: Passage::default(), pending: 0 }
        };
        let seconds = |objective: Option<f64>| objective.map_or(f64::INFINITY, libm::log2);
        let objective = &scenario.objective;
        Flow {
            streams: scenario.load.routes().iter().map(stream).collect(),
            works: works.collect(),
            tables: Tables::new(),
            changed: true,
            due: i64::MAX,
            accounted: 0,
            since: 0,
            surge: 1.0,
            database_down: 0,
            database_slowness: 1.0,
            database: plan.database.as_ref().map(|database| {
                let mut cpu = database.size.as_ref().map_or(Cpu { full: 2.0, credits: None }, Cpu::new);
                cpu.spend(0.0, -super::pod::LONG_AGO);
                DatabaseFlow { cpu, used: 0.0, connections: database.user_connections }
            }),
            overhead: scenario.cloud.node_overhead.0 as f64 / 1000.0,
            objectives: [seconds(objective.p50), seconds(objective.p95), seconds(objective.p99)],
            rates: Vec::new(),
            wanted: Vec::new(),
            uses: Vec::new(),
            touched: Vec::new(),
        }
    }

    pub(super) fn next_change(&self) -> Option<i64> {
        self.streams.iter().filter_map(|stream| stream.walk.next_change()).min()
    }

    /// Takes in every change of the load up to now.
    pub(super) fn follow_load(&mut self, now: i64) {
        for stream in &mut self.streams {
            while let Some(at) = stream.walk.next_change().filter(|at| *at <= now) {
                stream.walk.advance(at);
                self.changed = true;
            }
        }
    }

    /// Cores that a serving pod of the first group uses.
    pub(super) fn used_by(&self, workload: usize) -> Option<f64> {
        Some(self.works[workload].as_ref()?.groups.first()?.used)
    }

    pub(super) fn is_uniform(&self, workload: usize) -> bool {
        self.works[workload].as_ref().is_none_or(|work| work.groups.len() <= 1)
    }

    /// Bytes of a replica.
    pub(super) fn memory_of(&self, workload: usize) -> i64 {
        self.works[workload].as_ref().map_or(0, |work| work.memory.0)
    }

    pub(super) fn idle_of(&self, workload: usize) -> f64 {
        self.works[workload].as_ref().map_or(0.0, WorkFlow::idle)
    }
}

impl WorkFlow<'_> {
    fn idle(&self) -> f64 {
        self.work.idle.0 as f64 / 1000.0
    }

    /// The share of requests that fail after every retry, and the attempts that a request takes.
    fn with_retries(&self) -> (f64, f64) {
        let (mut failed, mut attempts, mut still) = (self.failing, 1.0, self.failing);
        for _ in 0..self.work.retries {
            attempts += still;
            still *= self.failing;
            failed = still;
        }
        (failed, attempts)
    }
}

impl World<'_> {
    /// Banks the credits of a day without requests.
    pub(super) fn rest(&mut self, id: InstanceId) {
        let overhead = self.flow.overhead;
        if let Some(instance) = self.instance_mut(id) {
            instance.cpu.spend(overhead, -super::pod::LONG_AGO);
        }
    }

    /// Whether pods of some workload differ in what they use.
    pub(super) fn is_uneven(&self) -> bool {
        let uneven =
            |(index, running): (usize, &super::workload::Running)| running.mixed || !self.flow.is_uniform(index);
        self.workloads.iter().enumerate().any(uneven)
    }

    /// CPU seconds that a serving pod of the first group has used until now.
    pub(super) fn counter(&self, workload: usize) -> f64 {
        let counted = self.workloads[workload].counter;
        self.flow
            .used_by(workload)
            .map_or(counted, |used| counted + used * (self.now - self.flow.accounted).max(0) as f64 / 1000.0)
    }

    /// Brings all sums up to now.
    pub(super) fn account(&mut self) {
        let (from, to) = (self.flow.accounted, self.now);
        if from >= to {
            return;
        }
        self.flow.accounted = to;
        let seconds = (to - from) as f64 / 1000.0;
        for stream in &mut self.flow.streams {
            stream.pending += to - from;
        }
        let mut at = from;
        while at < to {
            let until = to.min(self.record.minute_end());
            for stream in &self.flow.streams {
                self.record.within_minute(until - at, &stream.passage);
            }
            if until == self.record.minute_end() {
                self.record.end_minute();
            }
            at = until;
        }
        for (work, running) in self.flow.works.iter_mut().zip(&mut self.workloads) {
            let Some(work) = work else { continue };
            let Some(first) = work.groups.first().map(|group| group.used) else { continue };
            running.counter += first * seconds;
            if work.groups.len() > 1 {
                for id in &running.serving {
                    if let Some(pod) = self.pods.get_mut(id.0 as usize).and_then(Option::as_mut) {
                        let group = work.groups.get(usize::from(pod.group)).map_or(first, |group| group.used);
                        pod.cpu_base += (group - first) * seconds;
                    }
                }
            }
            for group in &mut work.groups {
                let most = work.work.timeout * group.served.capacity;
                group.backlog = (group.backlog + (group.rate - group.served.capacity) * seconds).clamp(0.0, most);
            }
        }
        for instance in self.instances.iter_mut().flatten() {
            instance.cpu.spend(instance.used, to - from);
        }
        if let Some(database) = &mut self.flow.database {
            database.cpu.spend(database.used, to - from);
        }
    }

    /// Hands the record what went one way, before another begins.
    pub(super) fn hand_over(&mut self) {
        self.account();
        for stream in &mut self.flow.streams {
            let millis = std::mem::take(&mut stream.pending);
            self.record.passed(&self.flow.tables, millis, &stream.passage);
        }
    }

    /// Finds out what the load does to the replicas that are there.
    pub(super) fn reflow(&mut self) {
        self.hand_over();
        self.flow.changed = false;
        self.flow.since = self.now;
        self.flow.due = i64::MAX;
        let surge = self.flow.surge;
        let mut rates = std::mem::take(&mut self.flow.rates);
        rates.clear();
        rates.resize(self.workloads.len(), 0.0);
        for stream in &mut self.flow.streams {
            stream.rate = stream.walk.rate() * surge;
            for (workload, share) in &stream.asks {
                rates[*workload] += stream.rate * share;
            }
        }
        for (rate, work) in rates.iter_mut().zip(&self.flow.works) {
            *rate *= work.as_ref().map_or(0.0, |work| work.with_retries().1);
        }
        let starting = self.starting();
        let tight = self.load_nodes(&rates, &starting);
        let database = self.load_database(&rates);
        let mut touched = std::mem::take(&mut self.flow.touched);
        touched.clear();
        touched.resize(self.workloads.len(), false);
        tight.iter().flat_map(|(_, list)| list).for_each(|entry| touched[entry.0] = true);
        for (workload, rate) in rates.iter().enumerate() {
            self.group(workload, *rate, &tight, touched[workload]);
            self.serve(workload, &database);
        }
        (self.flow.rates, self.flow.touched) = (rates, touched);
        self.spread_use(&starting);
        self.note_passages();
    }

    /// What each node is asked for; the nodes that cannot give it, with what is left for a pod of each workload.
    fn load_nodes(
        &mut self,
        rates: &[f64],
        starting: &BTreeMap<InstanceId, f64>,
    ) -> Vec<(InstanceId, Vec<(usize, f64)>)> {
        let mut wanted = std::mem::take(&mut self.flow.wanted);
        wanted.clear();
        wanted.extend((0..self.workloads.len()).map(|workload| self.wanted(workload, rates[workload])));
        let (overhead, mut tight) = (self.flow.overhead, Vec::new());
        for (index, instance) in self.instances.iter_mut().enumerate() {
            let Some(instance) = instance.as_mut().filter(|instance| instance.node.is_some()) else { continue };
            let id = InstanceId(index as u32);
            let extra = starting.get(&id).copied().unwrap_or(0.0);
            let demand: f64 =
                instance.serving.iter().map(|(workload, pods)| wanted[*workload] * f64::from(*pods)).sum();
            let total = overhead + extra + demand;
            instance.cpu.demand(total);
            if instance.cpu.is_throttled() && !std::mem::replace(&mut instance.told, true) {
                let text =
                    format!("{} has no burst credits left and does {} cores", instance.name, instance.cpu.available());
                self.record.note(self.now, text);
            }
            let available = instance.cpu.available();
            if !instance.alive {
                let none = instance.serving.iter().map(|(workload, _)| (*workload, 0.0));
                tight.push((id, none.collect()));
            } else if total > available + 1e-9 {
                let left = (available - overhead - extra).max(0.01);
                tight.push((id, fair_shares(&instance.serving, &wanted, left)));
            }
        }
        self.flow.wanted = wanted;
        tight
    }

    /// Cores that one pod of a workload would use if it could.
    fn wanted(&self, workload: usize, rate: f64) -> f64 {
        let Some(work) = &self.flow.works[workload] else { return 0.0 };
        let pods = self.workloads[workload].serving.len();
        if pods == 0 {
            return 0.0;
        }
        let backlog = work.groups.iter().any(|group| group.backlog > 0.0);
        let limit = self.plan.workloads[workload].cpu_limit.unwrap_or(f64::INFINITY);
        let needed = rate / pods as f64 * work.work.cpu;
        (if backlog { needed.max(limit.min(needed * 2.0)) } else { needed }).min(limit) + work.idle()
    }

    /// Cores of pods that start.
    fn starting(&self) -> BTreeMap<InstanceId, f64> {
        let mut sums = BTreeMap::new();
        for running in self.workloads.iter().filter(|running| running.startup_cpu > 0.0) {
            let starting =
                running.young.iter().filter_map(|id| self.pod(*id)).filter(|pod| pod.state == State::Starting);
            for node in starting.filter_map(|pod| pod.node) {
                *sums.entry(node).or_default() += running.startup_cpu;
            }
        }
        sums
    }

    fn load_database(&mut self, rates: &[f64]) -> Database {
        let offered =
            |(work, rate): (&Option<WorkFlow<'_>>, &f64)| Some(rate * work.as_ref()?.work.database.as_ref()?.time);
        let offered: f64 = self.flow.works.iter().zip(rates).filter_map(offered).sum();
        let (now, slowness) = (self.now, self.flow.database_slowness);
        let up = self.flow.database_down == 0;
        let Some(database) = &mut self.flow.database else {
            return Database { cores: 2.0, offered, slowness, up };
        };
        let wanted = if up { offered * slowness } else { 0.0 };
        database.cpu.demand(wanted);
        database.used = wanted.min(database.cpu.available());
        if let Some(lasts) = database.cpu.lasts(database.used) {
            self.flow.due = self.flow.due.min(now + lasts);
        }
        Database { cores: database.cpu.available(), offered, slowness, up }
    }

    /// Sorts a workload's replicas into groups that fare alike.
    fn group(&mut self, workload: usize, rate: f64, tight: &[(InstanceId, Vec<(usize, f64)>)], touched: bool) {
        let Some(work) = self.flow.works[workload].as_mut() else { return };
        let serving = std::mem::take(&mut self.workloads[workload].serving);
        let full = serving
            .first()
            .and_then(|id| self.pods.get(id.0 as usize)?.as_ref()?.node)
            .and_then(|node| self.instances.get(node.0 as usize)?.as_ref())
            .map_or(1.0, |instance| instance.cpu.full - self.flow.overhead);
        let cores = self.plan.workloads[workload].cpu_limit.unwrap_or(full).min(full);
        let each = work.connections;
        let limit =
            self.flow.database.as_ref().filter(|_| work.work.database.is_some()).map_or(u32::MAX, |d| d.connections);
        let mut known = std::mem::take(&mut work.groups);
        let crowded = (serving.len() as u64) * u64::from(each) > u64::from(limit);
        let rate = if serving.is_empty() { rate } else { rate / serving.len() as f64 };
        let group = |replica: Replica, alive: bool| Group {
            pods: 0,
            replica,
            alive,
            rate,
            backlog: 0.0,
            served: Served { capacity: 0.0, response: Response::UNKNOWN },
            used: 0.0,
            failing: 0.0,
        };
        if !crowded && !touched {
            let backlog = average_backlog(&known);
            let pods = serving.len();
            known.clear();
            known.push(Group { pods, backlog, ..group(Replica { cores, connections: each }, true) });
            work.groups = known;
        } else {
            let mut left = limit;
            for id in &serving {
                let Some(pod) = self.pods.get_mut(id.0 as usize).and_then(Option::as_mut) else { continue };
                let place = |node| tight.binary_search_by_key(&node, |entry| entry.0).ok();
                let entry = pod.node.and_then(place).map(|at| &tight[at]);
                let share =
                    entry.and_then(|(_, list)| list.iter().find(|entry| entry.0 == workload)).map(|entry| entry.1);
                let alive = share.is_none_or(|share| share > 0.0);
                let connections = if alive { each.min(left) } else { 0 };
                left -= connections;
                let replica = Replica { cores: share.map_or(cores, |share| share.min(cores)), connections };
                let same = |group: &Group| group.replica == replica && group.alive == alive;
                let index = work.groups.iter().position(same).unwrap_or_else(|| {
                    let backlog = known
                        .iter()
                        .find(|known| same(known))
                        .map_or_else(|| average_backlog(&known), |known| known.backlog);
                    work.groups.push(Group { backlog, ..group(replica, alive) });
                    work.groups.len() - 1
                });
                work.groups[index].pods += 1;
                pod.group = u8::try_from(index).unwrap_or(u8::MAX);
            }
        }
        let mixed = work.groups.len() > 1;
        self.workloads[workload].serving = serving;
        if mixed {
            self.mix(workload);
        }
    }

    fn serve(&mut self, workload: usize, database: &Database) {
        let now = self.now;
        let Some(flow) = self.flow.works[workload].as_mut() else { return };
        let (work, idle) = (flow.work, flow.idle());
        let (mut failing, mut pods, mut due) = (0.0, 0_usize, i64::MAX);
        let cut = work.database.is_some() && !database.up;
        for group in &mut flow.groups {
            group.served = serve(work, &group.replica, database, group.rate, group.backlog);
            let capacity = if group.alive && !cut { group.served.capacity } else { 0.0 };
            group.served.capacity = capacity;
            let growth = group.rate - capacity;
            let most = work.timeout * capacity;
            if capacity <= 0.0 {
                group.failing = f64::from(group.rate > 0.0);
                group.backlog = 0.0;
            } else if growth > 0.0 && group.backlog >= most * 0.999 {
                group.failing = growth / group.rate;
            } else {
                group.failing = self.flow.tables.longer(&group.served.response, flow.log2_timeout);
                if growth > 1e-12 || group.backlog > 0.0 {
                    let bound = if growth > 0.0 {
                        (most - group.backlog) / growth
                    } else {
                        group.backlog / (-growth).max(1e-12)
                    };
                    due = due.min(now + ((bound * 1000.0).min(1e12) as i64 + 1).min(BACKLOG_STEP));
                }
            }
            let done = if group.backlog > 0.0 { capacity } else { group.rate.min(capacity) };
            group.used = (done * work.cpu).min(group.replica.cores) + idle;
            failing += group.failing * group.pods as f64;
            pods += group.pods;
        }
        let failing = if pods == 0 { 1.0 } else { failing / pods as f64 };
        if work.retries > 0 && (failing - flow.failing).abs() > 1e-3 {
            // Retries are load, which makes for more failures: that settles within seconds.
            due = due.min(now + 1000);
        }
        flow.failing = failing;
        if let Some(group) = flow.groups.first() {
            let in_progress = group.rate.min(group.served.capacity) * group.served.response.mean;
            let more = (work.memory_per_request.0 as f64 * in_progress).min(1e15) as i64;
            flow.memory = Bytes(work.memory.0.saturating_add(more));
        }
        self.flow.due = self.flow.due.min(due);
    }

    /// What every node really uses, and how long its credits last so.
    fn spread_use(&mut self, starting: &BTreeMap<InstanceId, f64>) {
        let now = self.now;
        let overhead = self.flow.overhead;
        let mut uses = std::mem::take(&mut self.flow.uses);
        let even = |work: &WorkFlow<'_>| (work.groups.len() == 1).then(|| work.groups[0].used);
        uses.clear();
        uses.extend(self.flow.works.iter().map(|work| work.as_ref().and_then(even)));
        let mut mixed: BTreeMap<InstanceId, f64> = BTreeMap::new();
        for (workload, running) in self.workloads.iter().enumerate().filter(|(index, _)| uses[*index].is_none()) {
            let Some(work) = &self.flow.works[workload] else { continue };
            for pod in running.serving.iter().filter_map(|id| self.pod(*id)) {
                let used = work.groups.get(usize::from(pod.group)).map_or(0.0, |group| group.used);
                if let Some(node) = pod.node {
                    *mixed.entry(node).or_default() += used;
                }
            }
        }
        let mut due = self.flow.due;
        for (index, instance) in self.instances.iter_mut().enumerate() {
            let Some(instance) = instance.as_mut().filter(|instance| instance.node.is_some()) else { continue };
            let id = InstanceId(index as u32);
            let of = |sums: &BTreeMap<InstanceId, f64>| sums.get(&id).copied().unwrap_or(0.0);
            let plain: f64 =
                instance.serving.iter().filter_map(|(workload, pods)| Some(uses[*workload]? * f64::from(*pods))).sum();
            let used = if instance.alive { overhead + plain + of(&mixed) + of(starting) } else { 0.0 };
            instance.used = used.min(instance.cpu.available());
            if let Some(lasts) = instance.cpu.lasts(instance.used) {
                due = due.min(now + lasts);
            }
        }
        self.flow.due = due;
        self.flow.uses = uses;
    }

    /// What a request of each stream goes through now.
    fn note_passages(&mut self) {
        let Flow { streams, works, tables, objectives, .. } = &mut self.flow;
        for stream in streams {
            let passage = &mut stream.passage;
            passage.clear(stream.rate);
            let mut kept = 1.0;
            for (workload, _) in &stream.asks {
                let Some(work) = &works[*workload] else { continue };
                kept *= 1.0 - work.with_retries().0;
                let pods: usize = work.groups.iter().map(|group| group.pods).sum();
                let answered = |group: &Group| (1.0 - group.failing) * group.pods as f64 / pods.max(1) as f64;
                let total: f64 = work.groups.iter().map(answered).sum();
                passage.part(work.groups.iter().filter(|group| group.pods > 0).map(|group| {
                    let share = if total > 0.0 { answered(group) / total } else { 1.0 };
                    (share, group.served.response)
                }));
            }
            passage.finish(tables, 1.0 - kept, objectives);
        }
    }
}

fn average_backlog(groups: &[Group]) -> f64 {
    let pods: usize = groups.iter().map(|group| group.pods).sum();
    groups.iter().map(|group| group.backlog * group.pods as f64).sum::<f64>() / pods.max(1) as f64
}

/// Cores for a pod of each workload where all of them want more than is left: none gets more than it wants, and those who
/// want more than their share get the same.
fn fair_shares(serving: &[(usize, u32)], wanted: &[f64], mut left: f64) -> Vec<(usize, f64)> {
    let mut order: Vec<&(usize, u32)> = serving.iter().collect();
    order.sort_by(|a, b| wanted[a.0].total_cmp(&wanted[b.0]).then(a.0.cmp(&b.0)));
    let mut pods: u32 = serving.iter().map(|entry| entry.1).sum();
    let mut shares = Vec::new();
    for (workload, count) in order {
        let fair = left / f64::from(pods.max(1));
        let share = wanted[*workload].min(fair);
        shares.push((*workload, share.max(1e-6)));
        left -= share * f64::from(*count);
        pods -= count;
    }
    shares
}
