//! Instances and the nodes that they become.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use decide::nodes::{GroupView, InstanceState, InstanceView};
use decide::scheduling::queue::Event as QueueEvent;
use decide::scheduling::view::{NodeView, PodView, Taint, TaintEffect};
use decide::scheduling::{Cluster, fits};
use units::Timestamp;

use super::event::Event;
use super::pod::State;
use super::{InstanceId, PodId, World};
use crate::flow::credits::Cpu;

const HOSTNAME: &str = "kubernetes.io/hostname";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// `--node-monitor-grace-period` of Kubernetes 1.36.
const MONITOR_GRACE: i64 = 50_000;
/// What the `DefaultTolerationSeconds` admission gives every pod.
const TOLERATION: i64 = 300_000;

pub(super) struct Instance {
    pub(super) pool: usize,
    pub(super) name: String,
    pub(super) state: InstanceState,
    /// Since when it is paid for.
    pub(super) since: i64,
    /// Once it has registered.
    pub(super) node: Option<Arc<NodeView>>,
    /// The machine runs.
    pub(super) alive: bool,
    pub(super) cpu: Cpu,
    /// Serving pods by workload.
    pub(super) serving: Vec<(usize, u32)>,
    /// Cores that are used at present.
    pub(super) used: f64,
    /// Workloads whose images it has.
    pub(super) images: BTreeSet<usize>,
    pub(super) unpulled: BTreeSet<PodId>,
    /// Those that are bound to its node, also while they end.
    pub(super) pods: BTreeSet<PodId>,
    pub(super) drain: Option<super::drain::Drain>,
    /// That its credits are gone has been noted.
    pub(super) told: bool,
}

impl Instance {
    pub(super) fn serve(&mut self, workload: usize, change: i32) {
        match self.serving.iter_mut().find(|entry| entry.0 == workload) {
            Some(entry) => entry.1 = entry.1.saturating_add_signed(change),
            None => self.serving.push((workload, u32::try_from(change).unwrap_or(0))),
        }
        self.serving.retain(|entry| entry.1 > 0);
    }
}

impl World<'_> {
    pub(super) fn new_instance(&mut self, pool: usize, since: i64) -> InstanceId {
        let id = InstanceId(self.instances.len() as u32);
        let plan = &self.plan.pools[pool];
        let name = format!("{}-{}", plan.name, self.numbers[pool]);
        let cpu = Cpu::new(&plan.size);
        self.numbers[pool] += 1;
        self.sizes[pool] += 1;
        self.names.insert(name.clone(), id);
        self.instances.push(Some(Instance {
            pool,
            name,
            state: InstanceState::Creating,
            since: since.max(0),
            node: None,
            alive: true,
            cpu,
            serving: Vec::new(),
            used: 0.0,
            images: BTreeSet::new(),
            unpulled: BTreeSet::new(),
            pods: BTreeSet::new(),
            drain: None,
            told: false,
        }));
        self.version += 1;
        id
    }

    /// Asks the cloud for so many nodes in a pool.
    ///
    /// # Errors
    /// With Azure's code when it refuses.
    pub(super) fn grow(&mut self, pool: usize, to: i32) -> Result<(), &'static str> {
        let vcpus = |world: &World<'_>| -> i64 {
            world.instances.iter().flatten().map(|instance| world.plan.pools[instance.pool].size.vcpus).sum()
        };
        let more = i64::from(to - self.sizes[pool]) * self.plan.pools[pool].size.vcpus;
        let within = self.scenario.cloud.quota.is_none_or(|quota| vcpus(self) + more <= quota);
        if self.trouble.quota > 0 || !within {
            return Err("QuotaExceeded");
        }
        for _ in self.sizes[pool]..to {
            let id = self.new_instance(pool, self.now);
            let boot = self.random.boot(&self.scenario.cloud.node_boot);
            let wait = (boot.0 as f64 * self.trouble.boot) as i64;
            self.events.plan(self.now + wait.max(1000), Event::Booted(id));
        }
        self.note_sizes();
        Ok(())
    }

    pub(super) fn booted(&mut self, id: InstanceId) {
        if self.instance(id).is_some_and(|instance| instance.state == InstanceState::Creating) {
            self.register(id, self.now);
        }
    }

    pub(super) fn register(&mut self, id: InstanceId, created: i64) {
        let Some(instance) = self.instance(id) else { return };
        let mut view = NodeView::clone(&self.plan.pools[instance.pool].template);
        view.name.clone_from(&instance.name);
        view.labels.insert(HOSTNAME.to_owned(), instance.name.clone());
        view.created = Timestamp(created).truncated();
        view.ready = true;
        view.ready_changed = Some(view.created);
        if let Some(instance) = self.instance_mut(id) {
            instance.state = InstanceState::Running;
        }
        self.start_daemons(id, &view);
        self.put_node(id, view);
        let now = self.timestamp();
        self.queue.on_event(QueueEvent::NodeAdded, now);
        self.flow.changed = true;
        self.note_sizes();
    }

    fn start_daemons(&mut self, id: InstanceId, node: &NodeView) {
        let mut trial = Cluster::new();
        trial.upsert_node(node.clone());
        for daemon in self.plan.daemons.clone() {
            let mut pod = PodView::clone(&daemon);
            pod.name = format!("{}-{}", daemon.name, node.name);
            pod.created = node.created;
            if fits(&trial, &pod, &node.name).is_ok() {
                trial.assume_pod(pod.clone(), &node.name);
                self.add_daemon(pod, id, &node.name);
            }
        }
    }

    pub(super) fn put_node(&mut self, id: InstanceId, view: NodeView) {
        let view = Arc::new(view);
        self.room += 1;
        self.cluster.upsert_node(Arc::clone(&view));
        if let Some(instance) = self.instance_mut(id) {
            instance.node = Some(view);
        }
        self.version += 1;
    }

    /// Pays for an instance up to now.
    pub(super) fn bill(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(instance) = self.instance_mut(id) else { return };
        let (pool, millis) = (instance.pool, now - instance.since);
        instance.since = now;
        self.record.node_millis(pool, millis);
    }

    /// The instance is gone, and with it what still ran there.
    pub(super) fn remove_instance(&mut self, id: InstanceId) {
        self.account();
        self.bill(id);
        let pods = self.pods_on(id);
        let Some(instance) = self.instances.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.names.remove(&instance.name);
        self.candidates.remove(&instance.name);
        self.sizes[instance.pool] -= 1;
        for pod in pods {
            self.delete_pod(pod);
            self.gone(pod);
        }
        self.cluster.remove_node(&instance.name);
        self.room += 1;
        let now = self.timestamp();
        self.queue.on_event(QueueEvent::NodeRemoved, now);
        self.version += 1;
        self.flow.changed = true;
        self.note_sizes();
    }

    pub(super) fn pods_on(&self, id: InstanceId) -> Vec<PodId> {
        self.instance(id).map_or_else(Vec::new, |instance| instance.pods.iter().copied().collect())
    }

    fn note_sizes(&mut self) {
        // Minutes that have ended had the sizes from before.
        self.account();
        self.record.pools(&self.sizes);
    }

    /// The machine stops. Requests still go there, until the control plane notices.
    pub(super) fn fail(&mut self, id: InstanceId) {
        self.account();
        let Some(instance) = self.instance_mut(id) else { return };
        instance.alive = false;
        self.flow.changed = true;
        self.events.plan(self.now + MONITOR_GRACE, Event::Unreachable(id));
    }

    pub(super) fn unreachable(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(node) = self.instance(id).and_then(|instance| instance.node.clone()) else { return };
        let mut view = NodeView::clone(&node);
        view.ready = false;
        view.ready_changed = Some(Timestamp(now).truncated());
        view.unready_reason = "NodeStatusUnknown".to_owned();
        for effect in [TaintEffect::NoSchedule, TaintEffect::NoExecute] {
            view.taints.push(Taint::new(UNREACHABLE, "", effect));
        }
        self.put_node(id, view);
        for pod in self.pods_on(id) {
            if let Some(workload) = self.pod(pod).and_then(|pod| pod.workload) {
                self.mix(workload);
            }
            self.left(pod);
            let Some(lost) = self.pod_mut(pod).filter(|pod| pod.workload.is_some() && pod.state == State::Ready) else {
                continue;
            };
            lost.state = State::Lost;
            lost.changed = now;
            let workload = lost.workload;
            let was_steady = self.unsteady(pod);
            if let Some(lost) = self.pod_mut(pod) {
                lost.sample = None;
                lost.reading = None;
            }
            if let Some(running) = workload.map(|workload| &mut self.workloads[workload]) {
                running.ready -= 1;
                if was_steady {
                    running.young.push(pod);
                }
            }
        }
        self.refresh_budgets();
        self.events.plan(now + TOLERATION, Event::Evicted(id));
    }

    pub(super) fn give_up(&mut self, id: InstanceId) {
        for pod in self.pods_on(id) {
            if self.pod(pod).is_some_and(|pod| pod.workload.is_some()) {
                self.delete_pod(pod);
                self.gone(pod);
            }
        }
    }

    pub(super) fn group_views(&self, autoscaled_only: bool) -> Vec<GroupView> {
        let mut instances: BTreeMap<usize, Vec<InstanceView>> = BTreeMap::new();
        for id in self.names.values() {
            let Some(instance) = self.instance(*id) else { continue };
            let view = InstanceView { name: instance.name.clone(), state: instance.state, error: None };
            instances.entry(instance.pool).or_default().push(view);
        }
        let pools = self.plan.pools.iter().enumerate().filter(|(_, pool)| pool.autoscaled || !autoscaled_only);
        let group = |(index, pool): (usize, &crate::plan::Pool)| GroupView {
            name: pool.name.clone(),
            min: pool.min,
            max: pool.max,
            target_size: self.sizes[index],
            template: Arc::clone(&pool.template),
            instances: instances.remove(&index).unwrap_or_default(),
            priority: 0,
        };
        pools.map(group).collect()
    }
}
