//! Pods from creation to their end.

use std::sync::Arc;

use decide::scheduling::queue::Event as QueueEvent;
use decide::scheduling::view::{PodPhase, PodView};
use units::{Millis, Timestamp};

use super::autoscaler::is_watched;
use super::event::Event;
use super::{InstanceId, PodId, World};

/// When what was there from the start was made: so old that no initialisation touches it.
pub(super) const LONG_AGO: i64 = -86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    /// On a node; images are pulled.
    Bound,
    /// Containers run and do not answer yet.
    Starting,
    Ready,
    /// It was ready and its node does not answer any more.
    Lost,
    Ending,
}

/// The last reading of its usage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) window: Millis,
    pub(super) cpu_milli: i64,
    pub(super) memory_milli: i64,
}

pub(super) struct Pod {
    pub(super) workload: Option<usize>,
    pub(super) view: Arc<PodView>,
    pub(super) node: Option<InstanceId>,
    pub(super) state: State,
    pub(super) revision: u32,
    /// When it was bound (`status.startTime`), when its containers ran, when readiness last changed.
    pub(super) bound: i64,
    pub(super) started: i64,
    pub(super) changed: i64,
    /// It takes part in the flow of requests.
    pub(super) serving: bool,
    /// Its group in the flow.
    pub(super) group: u8,
    /// CPU seconds; while it serves, the workload's counter is to be added.
    pub(super) cpu_base: f64,
    pub(super) reading: Option<(i64, f64)>,
    pub(super) sample: Option<Sample>,
    /// Counted among the pods that the autoscaler need not look at one by one.
    pub(super) steady: bool,
}

impl World<'_> {
    pub(super) fn create_pod(&mut self, workload: usize, created: i64) -> PodId {
        let id = PodId(self.pods.len() as u32);
        let running = &mut self.workloads[workload];
        let mut view = PodView::clone(&self.plan.workloads[workload].pod);
        view.name = format!("{}-{}", self.plan.workloads[workload].name, running.numbers);
        view.uid = format!("{:016x}", self.random.next());
        view.created = Timestamp(created).truncated();
        view.phase = PodPhase::Pending;
        view.template = workload as u64 + 1;
        running.numbers += 1;
        running.members.push(id);
        running.young.push(id);
        let revision = running.revision;
        self.add_pod(Pod { workload: Some(workload), revision, ..Pod::new(view, created) });
        id
    }

    fn add_pod(&mut self, pod: Pod) {
        let id = PodId(self.pods.len() as u32);
        self.by_key.insert(pod.view.key(), id);
        let priority = self.cluster.priority(&pod.view);
        self.queue.upsert(Arc::clone(&pod.view), priority, self.timestamp());
        self.pods.push(Some(pod));
        self.watch(id);
        self.version += 1;
    }

    /// A daemon set's pod, which is where it belongs from the start.
    pub(super) fn add_daemon(&mut self, mut view: PodView, node: InstanceId, name: &str) {
        view.node = Some(name.to_owned());
        view.phase = PodPhase::Running;
        let id = PodId(self.pods.len() as u32);
        let view = Arc::new(view);
        self.by_key.insert(view.key(), id);
        self.cluster.upsert_pod(Arc::clone(&view));
        let created = view.created.0;
        if let Some(instance) = self.instance_mut(node) {
            instance.pods.insert(id);
        }
        self.pods.push(Some(Pod {
            node: Some(node),
            state: State::Ready,
            view,
            ..Pod::new(PodView::default(), created)
        }));
        self.watch(id);
        self.version += 1;
    }

    /// The scheduler has found a node.
    pub(super) fn bind(&mut self, id: PodId, node: &str) {
        let Some(instance) = self.names.get(node).copied() else { return };
        let now = self.now;
        let Some(pod) = self.pod_mut(id) else { return };
        let old = pod.view.created.0 == LONG_AGO && now == 0;
        let at = if old { LONG_AGO } else { now };
        let view = PodView {
            node: Some(node.to_owned()),
            nominated_node: None,
            unschedulable_since: None,
            started: Some(Timestamp(at).truncated()),
            ..PodView::clone(&pod.view)
        };
        pod.node = Some(instance);
        pod.bound = at;
        pod.state = State::Bound;
        if let Some(instance) = self.instance_mut(instance) {
            instance.pods.insert(id);
        }
        self.put_view(id, view);
        if old {
            self.started(id);
            self.ready(id);
            self.serving(id);
            return;
        }
        self.pull(id);
    }

    fn put_view(&mut self, id: PodId, view: PodView) {
        let view = Arc::new(view);
        self.room += 1;
        self.cluster.upsert_pod(Arc::clone(&view));
        if let Some(pod) = self.pod_mut(id) {
            pod.view = view;
        }
        self.watch(id);
        self.version += 1;
    }

    /// Its view has changed.
    fn watch(&mut self, id: PodId) {
        if self.pod(id).is_some_and(|pod| is_watched(&pod.view)) {
            self.watched.insert(id);
        } else {
            self.watched.remove(&id);
        }
    }

    /// Images come once a node, unless the registry does not answer.
    pub(super) fn pull(&mut self, id: PodId) {
        let Some((workload, instance)) = self.pod(id).and_then(|pod| Some((pod.workload?, pod.node?))) else { return };
        let registry_fails = self.trouble.registry > 0;
        let pull = self.scenario.cloud.image_pull;
        let Some(node) = self.instance_mut(instance) else { return };
        let wait = if node.images.contains(&workload) {
            Millis::ZERO
        } else if registry_fails {
            // The kubelet backs off and tries again; the end of the fault looks for pods that wait.
            node.unpulled.insert(id);
            return;
        } else {
            node.images.insert(workload);
            pull
        };
        self.events.plan(self.now + wait.0 + CONTAINER_START, Event::Started(id));
    }

    pub(super) fn started(&mut self, id: PodId) {
        let now = self.now;
        let Some(pod) = self.pod_mut(id).filter(|pod| pod.state == State::Bound) else { return };
        let at = if pod.bound == LONG_AGO { LONG_AGO } else { now };
        pod.state = State::Starting;
        pod.started = at;
        pod.changed = pod.bound;
        let Some(workload) = pod.workload else { return };
        let view = PodView { phase: PodPhase::Running, ..PodView::clone(&pod.view) };
        pod.view = Arc::new(view);
        if at == LONG_AGO {
            return;
        }
        let plan = &self.plan.workloads[workload];
        let startup = self.scenario.work.get(&plan.name).map_or(Millis::from_secs(1), |work| work.startup);
        self.flow.changed |= self.workloads[workload].startup_cpu > 0.0;
        self.events.plan(now + answered(startup.0, plan.probe_delay.0, plan.probe_period.0), Event::Ready(id));
    }

    pub(super) fn ready(&mut self, id: PodId) {
        let now = self.now;
        let Some(pod) = self.pod_mut(id).filter(|pod| pod.state == State::Starting) else { return };
        pod.state = State::Ready;
        let old = pod.started == LONG_AGO;
        pod.changed = if old { LONG_AGO } else { now };
        let Some(workload) = pod.workload else { return };
        let startup = if old { 0.0 } else { (now - pod.started) as f64 / 1000.0 };
        let running = &mut self.workloads[workload];
        running.ready += 1;
        let used = startup * running.startup_cpu;
        if let Some(pod) = self.pod_mut(id) {
            pod.cpu_base = used;
        }
        self.flow.changed |= self.workloads[workload].startup_cpu > 0.0;
        if self.workloads[workload].is_rolling() {
            self.dirty.insert(workload);
        }
        self.refresh_budgets();
        if !old {
            self.events.plan(now + self.scenario.cloud.endpoint_delay.0, Event::Serving(id));
        }
    }

    pub(super) fn serving(&mut self, id: PodId) {
        let Some((workload, node)) =
            self.pod(id).filter(|pod| pod.state == State::Ready).and_then(|pod| Some((pod.workload?, pod.node?)))
        else {
            return;
        };
        self.account();
        let (counter, idle, now) = (self.workloads[workload].counter, self.flow.idle_of(workload), self.now);
        if let Some(pod) = self.pod_mut(id) {
            pod.serving = true;
            pod.group = 0;
            if pod.changed != LONG_AGO {
                pod.cpu_base += idle * (now - pod.changed) as f64 / 1000.0;
            }
            pod.cpu_base -= counter;
        }
        let running = &mut self.workloads[workload];
        running.serving.push(id);
        if let Some(instance) = self.instance_mut(node) {
            instance.serve(workload, 1);
        }
        self.flow.changed = true;
    }

    /// The ingress forgets a pod.
    pub(super) fn left(&mut self, id: PodId) {
        let Some((workload, node)) =
            self.pod(id).filter(|pod| pod.serving).and_then(|pod| Some((pod.workload?, pod.node?)))
        else {
            return;
        };
        self.account();
        let counter = self.workloads[workload].counter;
        if let Some(pod) = self.pod_mut(id) {
            pod.serving = false;
            pod.cpu_base += counter;
        }
        self.workloads[workload].serving.retain(|known| *known != id);
        if let Some(instance) = self.instance_mut(node) {
            instance.serve(workload, -1);
        }
        self.flow.changed = true;
    }

    /// Deletes a pod: its controller does not count it any more, its node does until it is gone.
    pub(super) fn delete_pod(&mut self, id: PodId) {
        let now = self.now;
        let Some(pod) = self.pod_mut(id).filter(|pod| pod.state != State::Ending) else { return };
        let (state, workload) = (pod.state, pod.workload);
        pod.state = State::Ending;
        let grace = pod.view.grace_period_seconds.unwrap_or(30);
        let view = PodView { deleting: Some(Timestamp(now + grace * 1000)), ..PodView::clone(&pod.view) };
        let Some(workload) = workload else {
            self.gone(id);
            return;
        };
        self.unsteady(id);
        let running = &mut self.workloads[workload];
        running.forget(id);
        running.ready -= i64::from(state == State::Ready);
        // Whoever deleted it, its controller makes another unless it wants fewer.
        self.dirty.insert(workload);
        self.refresh_budgets();
        match state {
            State::Waiting => self.gone(id),
            State::Bound | State::Lost => {
                self.put_view(id, view);
                self.left(id);
                self.gone(id);
            }
            _ => {
                self.put_view(id, view);
                let delay = self.scenario.cloud.endpoint_delay.0;
                let shutdown = self.plan.workloads[workload].shutdown.0.max(delay);
                self.events.plan(now + delay, Event::Left(id));
                self.events.plan(now + shutdown, Event::Gone(id));
            }
        }
    }

    pub(super) fn gone(&mut self, id: PodId) {
        self.left(id);
        let Some(pod) = self.pods.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.watched.remove(&id);
        let key = pod.view.key();
        self.by_key.remove(&key);
        self.queue.remove(&key.namespace, &key.name);
        self.cluster.remove_pod(&key.namespace, &key.name);
        self.room += 1;
        if let Some(instance) = pod.node.and_then(|node| self.instance_mut(node)) {
            instance.unpulled.remove(&id);
            instance.pods.remove(&id);
        }
        if pod.view.node.is_some() {
            let now = self.timestamp();
            self.queue.on_event(QueueEvent::PodGone, now);
        }
        self.version += 1;
        if let Some(workload) = pod.workload {
            self.dirty.insert(workload);
        }
    }

    /// The pod was found to fit nowhere.
    pub(super) fn mark_unschedulable(&mut self, id: PodId) {
        let now = self.timestamp();
        let Some(pod) = self.pod_mut(id) else { return };
        let view = PodView { unschedulable_since: Some(now), ..PodView::clone(&pod.view) };
        pod.view = Arc::new(view);
        self.version += 1;
    }
}

/// From the container's order to its start.
const CONTAINER_START: i64 = 500;

/// The first probe that finds the container up, from its start on.
fn answered(startup: i64, delay: i64, period: i64) -> i64 {
    if period <= 0 {
        return startup.max(delay);
    }
    let late = (startup - delay).max(0);
    delay + (late + period - 1) / period * period
}

impl Pod {
    fn new(view: PodView, created: i64) -> Pod {
        Pod {
            workload: None,
            view: Arc::new(view),
            node: None,
            state: State::Waiting,
            revision: 0,
            bound: created,
            started: created,
            changed: created,
            serving: false,
            group: 0,
            cpu_base: 0.0,
            reading: None,
            sample: None,
            steady: false,
        }
    }
}
