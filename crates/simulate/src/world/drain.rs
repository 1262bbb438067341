//! Emptying a node within the disruption budgets.

use decide::nodes::InstanceState;
use decide::scheduling::view::{NodeView, PodKey, Taint, TaintEffect};

use super::event::Event;
use super::{InstanceId, PodId, World};

const DELETION: &str = "ToBeDeletedByClusterAutoscaler";
/// Between two attempts to evict a pod that a budget protects, and how long they go on (`--max-pod-eviction-time`).
const RETRY: i64 = 1000;
const EVICTION_TIME: i64 = 120_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    ScaleDown,
    /// The node comes back anew.
    Replace,
}

pub(super) struct Drain {
    purpose: Purpose,
    to_evict: Vec<PodKey>,
    /// Evicted and not gone yet.
    leaving: Vec<PodId>,
    give_up: i64,
}

impl World<'_> {
    pub(super) fn start_drain(&mut self, id: InstanceId, evict: Vec<PodKey>, grace_seconds: i64, purpose: Purpose) {
        let now = self.now;
        let Some(node) = self.instance(id).and_then(|instance| instance.node.clone()) else { return };
        let mut view = NodeView::clone(&node);
        match purpose {
            Purpose::ScaleDown => {
                view.taints.push(Taint::new(DELETION, (now / 1000).to_string(), TaintEffect::NoSchedule))
            }
            Purpose::Replace => view.unschedulable = true,
        }
        self.put_node(id, view);
        if let Some(instance) = self.instance_mut(id) {
            let give_up = now + EVICTION_TIME + grace_seconds * 1000;
            instance.drain = Some(Drain { purpose, to_evict: evict, leaving: Vec::new(), give_up });
        }
        self.drain(id);
    }

    /// Evicts what the budgets admit, and goes on when everything is gone.
    pub(super) fn drain(&mut self, id: InstanceId) {
        let Some(mut drain) = self.instance_mut(id).and_then(|instance| instance.drain.take()) else { return };
        let (mut waiting, mut leaving) = (Vec::new(), std::mem::take(&mut drain.leaving));
        for key in std::mem::take(&mut drain.to_evict) {
            let Some(pod) =
                self.by_key.get(&key).copied().filter(|pod| self.pod(*pod).is_some_and(|pod| pod.node == Some(id)))
            else {
                continue;
            };
            if self.may_evict(pod) {
                self.delete_pod(pod);
                leaving.push(pod);
            } else {
                waiting.push(key);
            }
        }
        leaving.retain(|pod| self.pod(*pod).is_some());
        if waiting.is_empty() && leaving.is_empty() {
            self.emptied(id, drain.purpose);
            return;
        }
        if self.now >= drain.give_up {
            self.abandon(id, drain.purpose);
            return;
        }
        let Some(instance) = self.instance_mut(id) else { return };
        instance.drain = Some(Drain { to_evict: waiting, leaving, ..drain });
        self.events.plan(self.now + RETRY, Event::Drain(id));
    }

    fn may_evict(&self, pod: PodId) -> bool {
        let Some(view) = self.pod(pod).map(|pod| &pod.view) else { return true };
        self.plan.budgets.iter().all(|budget| !budget.view.covers(view) || budget.view.disruptions_allowed > 0)
    }

    fn emptied(&mut self, id: InstanceId, purpose: Purpose) {
        let Some(pool) = self.instance(id).map(|instance| instance.pool) else { return };
        if let Some(instance) = self.instance_mut(id) {
            instance.state = InstanceState::Deleting;
        }
        self.remove_instance(id);
        if purpose == Purpose::Replace && self.sizes[pool] < self.plan.pools[pool].min.max(1) {
            // An upgrade's node takes the place of the one that it drained, whatever the quota is: it was counted before.
            let to = self.sizes[pool] + 1;
            if self.grow(pool, to).is_err() {
                self.short.insert(pool);
                self.record.note(
                    self.now,
                    format!("{}: the cloud refused the node that replaces a drained one", self.plan.pools[pool].name),
                );
            }
        }
    }

    /// The node stays and takes pods again.
    fn abandon(&mut self, id: InstanceId, purpose: Purpose) {
        let now = self.timestamp();
        let Some((name, node)) =
            self.instance(id).and_then(|instance| Some((instance.name.clone(), instance.node.clone()?)))
        else {
            return;
        };
        let mut view = NodeView::clone(&node);
        view.taints.retain(|taint| taint.key != DELETION);
        view.unschedulable = false;
        self.put_node(id, view);
        if purpose == Purpose::ScaleDown {
            self.memory.deletion_failed(&name, now);
        }
        self.record.note(self.now, format!("{name} could not be drained in time and stays"));
    }

    /// What the disruption controller writes into the budgets.
    pub(super) fn refresh_budgets(&mut self) {
        let mut changed = false;
        for budget in &mut self.plan.budgets {
            let expected = budget.workloads.iter().map(|index| self.workloads[*index].desired).sum();
            let healthy = budget.workloads.iter().map(|index| self.workloads[*index].ready).sum::<i64>();
            let allowed = budget.allowed(expected, i32::try_from(healthy).unwrap_or(i32::MAX));
            changed |= budget.view.disruptions_allowed != allowed;
            budget.view.disruptions_allowed = allowed;
        }
        if changed {
            self.version += 1;
            self.cluster.set_budgets(self.plan.budgets.iter().map(|budget| budget.view.clone()));
        }
    }
}
