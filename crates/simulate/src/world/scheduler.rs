//! The scheduler's loop over its queue.

use std::sync::Arc;

use decide::scheduling::queue::Event as QueueEvent;
use decide::scheduling::view::{PodKey, PodView};
use decide::scheduling::{Attempt, Preemption, Profile, schedule, try_place};

use super::event::Event;
use super::{PodId, World};

impl World<'_> {
    /// Binds what fits; whether anything was bound or evicted.
    pub(super) fn schedule(&mut self) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let now = self.timestamp();
        let mut acted = false;
        while let Some(pod) = self.queue.pop(now) {
            let Some(id) = self.by_key.get(&pod.key()).copied() else {
                self.queue.remove(&pod.namespace, &pod.name);
                continue;
            };
            acted |= self.attempt(id, &pod);
        }
        if let Some(at) = self.queue.next_deadline().filter(|at| *at > now)
            && self.autoscaler.retry != Some(at.0)
        {
            self.autoscaler.retry = Some(at.0);
            self.events.plan(at.0, Event::Retry);
        }
        acted
    }

    fn attempt(&mut self, id: PodId, pod: &Arc<PodView>) -> bool {
        let profile = Profile::default();
        if let Some(filters) = self.known_hopeless(id) {
            self.has_no_node(id, pod, filters);
            return false;
        }
        let before = self.options.timeline.then(|| self.tie.clone());
        match try_place(&mut self.cluster, pod, &profile, &mut self.tie) {
            Attempt::Bound { node } => {
                if let Some(mut tie) = before {
                    let outcome = schedule(&self.cluster, pod, &profile, &mut tie);
                    self.record.placed(self.now, pod, outcome);
                } else {
                    self.record.count_placement(self.now);
                }
                self.bind(id, &node);
                self.queue.remove(&pod.namespace, &pod.name);
                let now = self.timestamp();
                self.queue.on_event(QueueEvent::PodBound, now);
                true
            }
            Attempt::Unschedulable { filters, preemption } => self.unschedulable(id, pod, filters, preemption),
            Attempt::Gated => {
                let now = self.timestamp();
                self.queue.errored(&pod.key(), now);
                false
            }
        }
    }

    /// Pods of a workload are alike: where one fits nowhere, the next one does neither, as long as nothing makes room.
    fn known_hopeless(&self, id: PodId) -> Option<Arc<[String]>> {
        let (room, filters) = self.hopeless.get(&self.pod(id)?.workload?)?;
        (*room == self.room).then(|| Arc::clone(filters))
    }

    fn has_no_node(&mut self, id: PodId, pod: &PodView, filters: Arc<[String]>) {
        let now = self.timestamp();
        self.queue.failed(&pod.key(), filters, now);
        if pod.unschedulable_since.is_none() {
            self.mark_unschedulable(id);
            // A pod that nobody knew of starts a loop of the node autoscaler of its own.
            self.autoscaler.wake(self.now);
        }
    }

    fn unschedulable(
        &mut self,
        id: PodId,
        pod: &Arc<PodView>,
        filters: Vec<String>,
        preemption: Option<Preemption>,
    ) -> bool {
        let filters: Arc<[String]> = filters.into();
        if let Some(workload) = self.pod(id).and_then(|pod| pod.workload).filter(|_| preemption.is_none()) {
            self.hopeless.insert(workload, (self.room, Arc::clone(&filters)));
        }
        self.has_no_node(id, pod, filters);
        let Some(preemption) = preemption else { return false };
        let victims: Vec<PodKey> = preemption.victims;
        for victim in &victims {
            if let Some(victim) = self.by_key.get(victim).copied() {
                self.delete_pod(victim);
            }
        }
        !victims.is_empty()
    }
}
