//! Faults, as they begin and end.

use super::event::Event;
use super::pod::State;
use super::{InstanceId, World};
use crate::scenario::{Fault, FaultKind};

impl World<'_> {
    pub(super) fn fault(&mut self, index: usize) {
        let scenario = self.scenario;
        let fault = &scenario.faults[index];
        let count = fault.count.unwrap_or(1) as usize;
        let factor = fault.factor.unwrap_or(1.0);
        self.record.fault(self.now, fault);
        self.account();
        match fault.kind {
            FaultKind::Node => {
                for node in self.draw_nodes(fault, count) {
                    self.fail(node);
                }
            }
            FaultKind::Zone => {
                for node in self.zone(fault) {
                    self.fail(node);
                }
            }
            FaultKind::Pod => self.kill_pods(fault, count),
            FaultKind::Database => self.flow.database_down += 1,
            FaultKind::SlowDatabase => self.flow.database_slowness *= factor,
            FaultKind::Metrics => self.trouble.metrics += 1,
            FaultKind::Surge => self.flow.surge *= factor,
            FaultKind::Quota => self.trouble.quota += 1,
            FaultKind::SlowBoot => self.trouble.boot *= factor,
            FaultKind::Credits => {
                for node in self.draw_nodes(fault, usize::MAX) {
                    if let Some(instance) = self.instance_mut(node) {
                        instance.cpu.drain();
                    }
                }
            }
            FaultKind::Drain => {
                for node in self.draw_nodes(fault, count) {
                    self.replace(node);
                }
            }
            FaultKind::Rollout => {
                for workload in self.workloads_of(fault) {
                    self.workloads[workload].revision += 1;
                    self.workloads[workload].rolling = true;
                    self.dirty.insert(workload);
                }
            }
            FaultKind::Registry => self.trouble.registry += 1,
        }
        self.flow.changed = true;
        if let Some(lasts) = fault.lasts {
            self.events.plan(self.now + lasts.0, Event::FaultEnds(index));
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
        let fault = &self.scenario.faults[index];
        let factor = fault.factor.unwrap_or(1.0);
        self.account();
        match fault.kind {
            FaultKind::Database => self.flow.database_down -= 1,
            FaultKind::SlowDatabase => self.flow.database_slowness /= factor,
            FaultKind::Metrics => self.trouble.metrics -= 1,
            FaultKind::Surge => self.flow.surge /= factor,
            FaultKind::Quota => self.trouble.quota -= 1,
            FaultKind::SlowBoot => self.trouble.boot /= factor,
            FaultKind::Registry => {
                self.trouble.registry -= 1;
                let waiting: Vec<_> = self
                    .instances
                    .iter_mut()
                    .flatten()
                    .flat_map(|instance| std::mem::take(&mut instance.unpulled))
                    .collect();
                for pod in waiting {
                    self.pull(pod);
                }
            }
            _ => {}
        }
        self.flow.changed = true;
    }

    fn workloads_of(&self, fault: &Fault) -> Vec<usize> {
        let named = |workload: &&usize| fault.workload.as_ref() == Some(&self.plan.workloads[**workload].name);
        (0..self.workloads.len()).collect::<Vec<_>>().iter().filter(named).copied().collect()
    }

    /// So many running nodes of the fault's pool, drawn.
    fn draw_nodes(&mut self, fault: &Fault, count: usize) -> Vec<InstanceId> {
        let mut nodes: Vec<InstanceId> = self
            .names
            .values()
            .copied()
            .filter(|id| {
                self.instance(*id).is_some_and(|instance| {
                    instance.alive
                        && instance.node.is_some()
                        && fault.pool.as_ref().is_none_or(|pool| self.plan.pools[instance.pool].name == *pool)
                })
            })
            .collect();
        while nodes.len() > count {
            let index = self.random.below(nodes.len());
            nodes.remove(index);
        }
        nodes
    }

    /// Nodes are spread over three zones in the order of their numbers.
    fn zone(&mut self, fault: &Fault) -> Vec<InstanceId> {
        let zone = self.random.below(3);
        let mut all = self.draw_nodes(fault, usize::MAX);
        all.retain(|id| id.0 as usize % 3 == zone);
        all
    }

    fn kill_pods(&mut self, fault: &Fault, count: usize) {
        for workload in self.workloads_of(fault) {
            let members = self.workloads[workload].members.iter();
            let mut ready: Vec<_> =
                members.copied().filter(|id| self.pod(*id).is_some_and(|pod| pod.state == State::Ready)).collect();
            for _ in 0..count.min(ready.len()) {
                let index = self.random.below(ready.len());
                let pod = ready.swap_remove(index);
                // It is gone at once; nobody drains what crashes.
                self.delete_pod(pod);
                self.gone(pod);
            }
        }
    }

    fn replace(&mut self, id: InstanceId) {
        let moving: Vec<_> = self
            .pods_on(id)
            .into_iter()
            .filter_map(|pod| self.pod(pod))
            .filter(|pod| pod.workload.is_some() && pod.state != State::Ending)
            .map(|pod| pod.view.key())
            .collect();
        self.start_drain(id, moving, 600, super::drain::Purpose::Replace);
    }
}
