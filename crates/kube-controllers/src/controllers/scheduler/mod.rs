//! The scheduler loop: takes every pod that waits, asks `decide::scheduling` and writes all bindings at once, so that
//! they share a sync of the disk.

pub(crate) mod batch;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use decide::scheduling::view::PodKey;
use decide::scheduling::{Outcome, Placement, PodView, Preemption, Profile};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube_server::{ChangeEvent, DeleteOptions};
use parking_lot::Mutex;
use units::Millis;

use super::disruption_target;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::journal::{Batch, Item};
use crate::objects::Meta;
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;
use crate::surroundings;
use state::{SCHEDULER, State};

/// As many bindings are written together.
const BATCH: usize = 256;
/// A cluster with more nodes and pods than this is too large to be written to the journal with every batch.
const LARGEST_JOURNALLED: usize = 5_000;

pub(crate) struct Scheduler {
    context: Context,
    state: Mutex<State>,
    profile: Profile,
}

impl Scheduler {
    pub(crate) fn new(context: &Context) -> Scheduler {
        let client = context.client.with_manager("kube-scheduler");
        let state = Mutex::new(State::new(context.config.seed));
        Scheduler { context: Context { client, ..context.clone() }, state, profile: Profile::default() }
    }

    fn key() -> Key {
        Key::cluster("pods")
    }
}

#[async_trait]
impl Reconciler for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        let client = &self.context.client;
        let now = clock::now();
        let namespace = change.namespace.as_deref().unwrap_or_default();
        let mut state = self.state.lock();
        match &*change.resource {
            "pods" => state.sync_pod(client, namespace, &change.name, now),
            "nodes" => state.sync_node(client, &change.name, now),
            other if surroundings::RESOURCES.contains(&other) => {
                let storage = other.starts_with("persistentvolume") || other.ends_with("storage.k8s.io");
                state.surroundings_changed(storage, now);
            }
            _ => return,
        }
        if state.has_news() {
            dirty.push(Self::key());
        }
    }

    fn all(&self) -> Vec<Key> {
        self.state.lock().resync(&self.context.client, clock::now());
        vec![Self::key()]
    }

    async fn reconcile(&self, _: &Key) -> Result<Option<Millis>, Error> {
        while self.run_batch().await {}
        let deadline = self.state.lock().announce_deadline();
        Ok(deadline.map(|deadline| (deadline - clock::now()).max(Millis(1))))
    }
}

/// A pod with what was decided on it.
type Decided = (Arc<PodView>, Outcome);

impl Scheduler {
    /// False when no pod was waiting.
    async fn run_batch(&self) -> bool {
        let decided = self.decide();
        if decided.is_empty() {
            return false;
        }
        let mut writes = Vec::new();
        for (pod, outcome) in &decided {
            writes.push(self.act(pod, outcome));
        }
        for outcome in join_all(writes).await {
            if let Err(error) = outcome {
                tracing::warn!(error = %error.chain(), "a scheduling decision could not be carried out");
            }
        }
        true
    }

    /// Without waiting for anything, so that the cluster does not change under a decision.
    fn decide(&self) -> Vec<Decided> {
        let now = clock::now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.refresh(&self.context.client);
        let pending = state.take(BATCH, now);
        if pending.is_empty() {
            return Vec::new();
        }
        let snapshot = (state.size() <= LARGEST_JOURNALLED).then(|| state.snapshot(&pending));
        let tie_before = state.tie.clone();
        let outcomes = batch::decide(&mut state.cluster, &pending, &self.profile, &mut state.tie);
        for (pod, outcome) in pending.iter().zip(&outcomes) {
            match &outcome.placement {
                Placement::Bound { node, .. } => state.assume(pod, node, now),
                Placement::Unschedulable { filters, preemption, .. } => {
                    if let Some(preemption) = preemption {
                        state.nominate(pod, &preemption.node);
                    }
                    state.queue.failed(&pod.key(), filters.clone(), now);
                }
                Placement::Gated { .. } => state.queue.failed(&pod.key(), Vec::new(), now),
            }
        }
        drop(guard);
        self.context.recorder.record_batch(Batch {
            now,
            settings: &self.profile,
            snapshot: snapshot.as_ref(),
            memory_before: &tie_before,
            decisions: &outcomes,
            items: pending.iter().zip(&outcomes).map(|(pod, outcome)| item(pod, outcome)).collect(),
        });
        pending.into_iter().zip(outcomes).collect()
    }

    async fn act(&self, pod: &PodView, outcome: &Outcome) -> Result<(), Error> {
        match &outcome.placement {
            Placement::Bound { node, .. } => self.bind(pod, node).await,
            Placement::Unschedulable { message, preemption, .. } => {
                if let Some(preemption) = preemption {
                    self.preempt(pod, preemption).await?;
                }
                self.report_failure(pod, message, preemption.as_ref()).await
            }
            Placement::Gated { .. } => Ok(()),
        }
    }

    async fn bind(&self, pod: &PodView, node: &str) -> Result<(), Error> {
        let client = &self.context.client;
        match client.bind(&pod.namespace, &pod.name, node).await {
            Ok(()) => {
                if let Some(stored) = client.get::<Pod>(Some(&pod.namespace), &pod.name) {
                    let message = format!("Successfully assigned {} to {node}", pod.key());
                    self.context.events.normal(&*stored, SCHEDULER, "Scheduled", message);
                }
                Ok(())
            }
            Err(error) => {
                self.state.lock().unassume(client, &pod.key(), clock::now());
                Err(error).context(|| format!("bind pod {} to node {node}", pod.key()))
            }
        }
    }

    /// Makes room: the victims are told why and deleted with their own grace periods.
    async fn preempt(&self, pod: &PodView, preemption: &Preemption) -> Result<(), Error> {
        let mut evictions = Vec::new();
        for victim in &preemption.victims {
            evictions.push(self.preempt_one(pod, &preemption.node, victim));
        }
        join_all(evictions).await.into_iter().collect()
    }

    async fn preempt_one(&self, pod: &PodView, node: &str, victim: &PodKey) -> Result<(), Error> {
        let client = &self.context.client;
        let Some(stored) = client.get::<Pod>(Some(&victim.namespace), &victim.name) else { return Ok(()) };
        let message = format!("{SCHEDULER}: preempting to accommodate a higher priority pod");
        disruption_target::mark(client, &stored, "PreemptionByScheduler", &message, false).await?;
        let options = DeleteOptions { uid: Some(stored.uid().to_owned()), ..DeleteOptions::default() };
        let outcome = client.delete::<Pod>(Some(&victim.namespace), &victim.name, &options).await;
        ignore_gone(outcome).context(|| format!("preempt pod {victim}"))?;
        self.context.events.normal(
            &*stored,
            SCHEDULER,
            "Preempted",
            format!("Preempted by pod {} on node {node}", pod.uid),
        );
        Ok(())
    }

    /// The event and the condition `PodScheduled`, on which the cluster autoscaler acts.
    async fn report_failure(&self, pod: &PodView, message: &str, preemption: Option<&Preemption>) -> Result<(), Error> {
        let client = &self.context.client;
        let Some(stored) = client.get::<Pod>(Some(&pod.namespace), &pod.name) else { return Ok(()) };
        if pods::node_name(&stored).is_some() || stored.is_deleted() {
            return Ok(());
        }
        self.context.events.warning(&*stored, SCHEDULER, "FailedScheduling", message);
        let mut updated = (*stored).clone();
        let status = updated.status.get_or_insert_default();
        if let Some(preemption) = preemption {
            status.nominated_node_name = Some(preemption.node.clone());
        }
        let conditions = status.conditions.get_or_insert_default();
        let current = conditions
            .iter()
            .position(|condition| condition.type_ == "PodScheduled")
            .map(|index| conditions.remove(index));
        let since = current
            .filter(|condition| condition.status == "False")
            .and_then(|condition| condition.last_transition_time);
        conditions.push(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("Unschedulable".to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(since.unwrap_or_else(|| clock::kube_time(clock::now()))),
            ..PodCondition::default()
        });
        if updated.status == stored.status {
            return Ok(());
        }
        ignore_gone(client.update_status(&updated).await)
            .context(|| format!("write the status of pod {}", pod.key()))?;
        Ok(())
    }
}

fn item(pod: &PodView, outcome: &Outcome) -> Item {
    Item {
        namespace: Some(pod.namespace.clone()),
        object: pod.name.clone(),
        summary: outcome.report.summary.clone(),
        acted: !matches!(
            outcome.placement,
            Placement::Unschedulable { preemption: None, .. } | Placement::Gated { .. }
        ),
    }
}
