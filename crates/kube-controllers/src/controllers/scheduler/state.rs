//! The cluster as the scheduler knows it, kept current change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use decide::nodes::Surroundings;
use decide::scheduling::queue::{Event, Queue};
use decide::scheduling::view::{BudgetView, PodKey};
use decide::scheduling::{Cluster, NodeView, PodView, TieBreak};
use decide::wire;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_server::Client;
use units::Timestamp;

use super::batch::Snapshot;
use crate::objects::Meta;
use crate::surroundings;

pub(super) const SCHEDULER: &str = "default-scheduler";

pub(super) struct State {
    pub cluster: Cluster,
    pub queue: Queue,
    pub tie: TieBreak,
    nodes: BTreeMap<String, Arc<NodeView>>,
    /// Those that take room: bound, assumed or nominated.
    placed: BTreeMap<PodKey, Arc<PodView>>,
    /// Waiting in the queue.
    pending: BTreeSet<PodKey>,
    /// Decided upon, while the binding is being written.
    assumed: BTreeSet<PodKey>,
    surroundings: Surroundings,
    budgets: Vec<BudgetView>,
    /// Surroundings changed since they were read.
    stale: bool,
    /// When the loop will look at the queue again by itself.
    announced: Option<Timestamp>,
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            cluster: Cluster::new(),
            queue: Queue::new(),
            tie: TieBreak::new(seed),
            nodes: BTreeMap::new(),
            placed: BTreeMap::new(),
            pending: BTreeSet::new(),
            assumed: BTreeSet::new(),
            surroundings: Surroundings::default(),
            budgets: Vec::new(),
            stale: true,
            announced: None,
        }
    }

    /// Whether the queue has something for the loop before it would look by itself: a new pod, or one that an event
    /// brought back.
    pub(super) fn has_news(&self) -> bool {
        let next = self.queue.next_deadline();
        next.is_some_and(|next| self.announced.is_none_or(|announced| next < announced))
    }

    pub(super) fn announce_deadline(&mut self) -> Option<Timestamp> {
        self.announced = self.queue.next_deadline();
        self.announced
    }

    pub(super) fn surroundings_changed(&mut self, storage: bool, now: Timestamp) {
        self.stale = true;
        if storage {
            self.queue.on_event(Event::StorageChanged, now);
        }
    }

    pub(super) fn refresh(&mut self, client: &Client) {
        if self.stale {
            self.surroundings = surroundings::read(client);
            self.budgets = surroundings::budgets(client);
            surroundings::apply(&mut self.cluster, &self.surroundings, &self.budgets);
            self.stale = false;
        }
    }

    /// Compares everything with the caches, after a start or lost changes.
    pub(super) fn resync(&mut self, client: &Client, now: Timestamp) {
        self.stale = true;
        let nodes: Vec<String> = self.nodes.keys().cloned().collect();
        for name in nodes {
            self.sync_node(client, &name, now);
        }
        for node in client.list::<Node>(None) {
            self.sync_node(client, node.name(), now);
        }
        let pods: Vec<PodKey> = self.placed.keys().chain(&self.pending).cloned().collect();
        for key in pods {
            self.sync_pod(client, &key.namespace, &key.name, now);
        }
        for pod in client.list::<Pod>(None) {
            self.sync_pod(client, pod.namespace(), pod.name(), now);
        }
    }

    pub(super) fn sync_node(&mut self, client: &Client, name: &str, now: Timestamp) {
        let view = client.get::<Node>(None, name).map(|node| wire::node::node_view(&node));
        match (view, self.nodes.get(name)) {
            (None, None) => {}
            (None, Some(_)) => {
                self.nodes.remove(name);
                self.cluster.remove_node(name);
                self.queue.on_event(Event::NodeRemoved, now);
            }
            (Some(view), Some(known)) if **known == view => {}
            (Some(view), known) => {
                let event = if known.is_some() { Event::NodeChanged } else { Event::NodeAdded };
                let view = Arc::new(view);
                self.nodes.insert(name.to_owned(), view.clone());
                self.cluster.upsert_node(view);
                self.queue.on_event(event, now);
            }
        }
    }

    pub(super) fn sync_pod(&mut self, client: &Client, namespace: &str, name: &str, now: Timestamp) {
        let key = PodKey::new(namespace, name);
        let view = client.get::<Pod>(Some(namespace), name).map(|pod| wire::pod::pod_view(&pod));
        match view.filter(|view| !view.is_terminal()) {
            None => self.forget(&key, now),
            Some(view) if view.node.is_some() => self.bound(key, view, now),
            // The binding is under way: the cluster already has the pod on its node.
            Some(_) if self.assumed.contains(&key) => {}
            Some(view) if view.deleting.is_some() || !is_ours(&view) => self.forget(&key, now),
            Some(view) => self.waiting(key, view, now),
        }
    }

    fn forget(&mut self, key: &PodKey, now: Timestamp) {
        self.assumed.remove(key);
        self.pending.remove(key);
        self.queue.remove(&key.namespace, &key.name);
        if self.placed.remove(key).is_some() {
            self.cluster.remove_pod(&key.namespace, &key.name);
            self.queue.on_event(Event::PodGone, now);
        }
    }

    fn bound(&mut self, key: PodKey, view: PodView, now: Timestamp) {
        self.assumed.remove(&key);
        self.pending.remove(&key);
        self.queue.remove(&key.namespace, &key.name);
        let known = self.placed.get(&key);
        if known.is_some_and(|known| **known == view) {
            return;
        }
        let is_news = known.is_none_or(|known| known.node.is_none() || known.labels != view.labels);
        let shrank = known.is_some_and(|known| known.requests != view.requests);
        let view = Arc::new(view);
        self.placed.insert(key, view.clone());
        self.cluster.upsert_pod(view);
        if is_news {
            self.queue.on_event(Event::PodBound, now);
        }
        if shrank {
            self.queue.on_event(Event::PodGone, now);
        }
    }

    fn waiting(&mut self, key: PodKey, view: PodView, now: Timestamp) {
        let view = Arc::new(view);
        if view.nominated_node.is_some() {
            self.placed.insert(key.clone(), view.clone());
            self.cluster.upsert_pod(view.clone());
        } else if self.placed.remove(&key).is_some() {
            self.cluster.remove_pod(&key.namespace, &key.name);
        }
        self.pending.insert(key);
        let priority = self.cluster.priority(&view);
        self.queue.upsert(view, priority, now);
    }

    /// The next pods to decide on, at most `most`.
    pub(super) fn take(&mut self, most: usize, now: Timestamp) -> Vec<Arc<PodView>> {
        std::iter::from_fn(|| self.queue.pop(now)).take(most).collect()
    }

    pub(super) fn assume(&mut self, pod: &Arc<PodView>, node: &str, now: Timestamp) {
        let key = pod.key();
        let view = PodView { node: Some(node.to_owned()), ..(**pod).clone() };
        self.placed.insert(key.clone(), Arc::new(view));
        self.pending.remove(&key);
        self.assumed.insert(key);
        self.queue.on_event(Event::PodBound, now);
    }

    pub(super) fn nominate(&mut self, pod: &Arc<PodView>, node: &str) {
        let view = PodView { nominated_node: Some(node.to_owned()), ..(**pod).clone() };
        self.placed.insert(pod.key(), Arc::new(view));
    }

    /// The binding was refused: the pod gives its place back and is tried again.
    pub(super) fn unassume(&mut self, client: &Client, key: &PodKey, now: Timestamp) {
        if !self.assumed.remove(key) {
            return;
        }
        self.placed.remove(key);
        self.cluster.remove_pod(&key.namespace, &key.name);
        self.queue.on_event(Event::PodGone, now);
        self.queue.errored(key, now);
        self.sync_pod(client, &key.namespace, &key.name, now);
    }

    /// How large a snapshot would be.
    pub(super) fn size(&self) -> usize {
        self.nodes.len() + self.placed.len()
    }

    pub(super) fn snapshot(&self, pending: &[Arc<PodView>]) -> Snapshot {
        Snapshot {
            nodes: self.nodes.values().cloned().collect(),
            pods: self.placed.values().cloned().collect(),
            surroundings: self.surroundings.clone(),
            budgets: self.budgets.clone(),
            pending: pending.to_vec(),
        }
    }
}

fn is_ours(view: &PodView) -> bool {
    view.scheduler_name.is_empty() || view.scheduler_name == SCHEDULER
}
