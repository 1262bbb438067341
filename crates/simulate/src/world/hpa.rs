//! The syncs of the pod autoscalers.

use std::collections::BTreeMap;

use decide::hpa::decide;
use decide::hpa::quick::{Counts, MOST_METRICS, Quick, Verdict};
use decide::hpa::view::{
    ConditionStatus, ContainerUsage, Metrics, Phase, Pod as PodView, PodMetrics, ReadyCondition, Scale, Snapshot,
};
use units::Timestamp;

use super::pod::{Pod, Sample, State};
use super::{PodId, World};

impl World<'_> {
    pub(super) fn sync(&mut self) {
        for workload in 0..self.workloads.len() {
            if self.plan.workloads[workload].hpa.is_some() && !self.stays(workload) {
                self.decide_replicas(workload);
            }
        }
    }

    /// Whether it is certain that this sync changes nothing. The memory is then what the sync would leave.
    fn stays(&mut self, workload: usize) -> bool {
        let Some(quick) = self.plan.workloads[workload].hpa.as_ref().and_then(|hpa| hpa.quick.as_ref()) else {
            return false;
        };
        if !self.options.skip || self.trouble.metrics > 0 {
            return false;
        }
        let now = self.timestamp();
        let Some(counts) = self.all_counts(workload, quick) else { return false };
        let running = &mut self.workloads[workload];
        let kept = (&mut running.memory, &mut running.streak);
        quick.sync(&self.plan.hpa, running.desired, &counts, kept, now) == Verdict::Stays
    }

    /// What the metrics see of the pods at present.
    pub(super) fn all_counts(&self, workload: usize, quick: &Quick) -> Option<[Counts; MOST_METRICS]> {
        let now = self.timestamp();
        let mut all = [Counts::default(); MOST_METRICS];
        for (counts, resource) in all.iter_mut().zip(quick.resources()) {
            self.count(workload, resource, now, counts)?;
        }
        Some(all)
    }

    /// Into numbers that are zero so far; `None` where a metric has no source.
    fn count(&self, workload: usize, resource: &str, now: Timestamp, counts: &mut Counts) -> Option<()> {
        let running = &self.workloads[workload];
        let common = running.sample.as_ref()?;
        let is_cpu = resource == "cpu";
        counts.used_milli = match resource {
            _ if is_cpu => running.steady_cpu_milli_at(common),
            "memory" => running.steady * common.memory_milli,
            _ => return None,
        };
        counts.ready = running.steady;
        for id in &running.young {
            let pod = self.pod(*id)?;
            match (pod.state, &pod.sample) {
                (State::Waiting | State::Bound, _) => counts.unready += 1,
                (_, None) => counts.missing += 1,
                (_, Some(sample)) if is_cpu && self.is_unusable(pod, sample, now) => counts.unready += 1,
                (_, Some(sample)) => {
                    counts.ready += 1;
                    counts.used_milli += if is_cpu { sample.cpu_milli } else { sample.memory_milli };
                }
            }
        }
        Some(())
    }

    /// As upstream's `groupPods`: CPU of a pod that is still starting says nothing about the load.
    fn is_unusable(&self, pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
        let settings = &self.plan.hpa;
        let (start, changed) = (Timestamp(pod.bound).truncated(), Timestamp(pod.changed).truncated());
        let not_ready = pod.state != State::Ready;
        if start + settings.cpu_initialization_period > now {
            not_ready || sample.at < changed + sample.window
        } else {
            not_ready && start + settings.initial_readiness_delay > changed
        }
    }

    fn decide_replicas(&mut self, workload: usize) {
        let Some(snapshot) = self.hpa_snapshot(workload) else { return };
        let running = &mut self.workloads[workload];
        let from = running.desired;
        let ready = usize::try_from(running.ready).unwrap_or(0);
        let decision = decide(&self.plan.hpa, &snapshot, &mut running.memory);
        running.status.clone_from(&decision.status);
        let Some(rescale) = &decision.rescale else { return };
        running.desired = rescale.to;
        // Minutes that have ended had the number from before.
        self.account();
        self.record.rescaled(self.now, workload, from, &decision, ready);
        self.dirty.insert(workload);
        self.refresh_budgets();
        if self.workloads[workload].is_rolling() {
            self.version += 1;
        }
    }

    /// `None` for a workload without an autoscaler.
    fn hpa_snapshot(&self, workload: usize) -> Option<Snapshot> {
        let plan = &self.plan.workloads[workload];
        let running = &self.workloads[workload];
        let (name, spec) = plan.hpa.as_ref().map(|hpa| (hpa.name.clone(), hpa.spec.clone()))?;
        let members: Vec<(PodId, &Pod)> = running.members.iter().filter_map(|id| Some((*id, self.pod(*id)?))).collect();
        let resource = if self.trouble.metrics > 0 {
            Err("the server is currently unable to handle the request (get pods.metrics.k8s.io)".to_owned())
        } else {
            Ok(members.iter().filter_map(|(_, pod)| self.pod_metrics(workload, pod)).collect())
        };
        let key = format!("{}/{name}", plan.namespace);
        Some(Snapshot {
            now: self.timestamp(),
            namespace: plan.namespace.clone(),
            name,
            spec,
            status: running.status.clone(),
            scale: Ok(Scale {
                spec_replicas: running.desired,
                status_replicas: i32::try_from(members.len()).unwrap_or(i32::MAX),
                selector: plan.selector.clone(),
                selector_error: None,
            }),
            pods: members.iter().map(|(_, pod)| self.hpa_pod(workload, pod)).collect(),
            selecting_autoscalers: vec![key],
            metrics: Metrics { resource: Some(resource), ..Metrics::default() },
        })
    }

    fn hpa_pod(&self, workload: usize, pod: &Pod) -> PodView {
        let waiting = matches!(pod.state, State::Waiting | State::Bound);
        let is_ready = if pod.state == State::Ready { ConditionStatus::True } else { ConditionStatus::False };
        PodView {
            name: pod.view.name.clone(),
            phase: if waiting { Phase::Pending } else { Phase::Running },
            deleting: pod.view.deleting.is_some(),
            start_time: pod.node.map(|_| Timestamp(pod.bound).truncated()),
            ready: Some(ReadyCondition { status: is_ready, last_transition: Timestamp(pod.changed).truncated() }),
            containers: self.plan.workloads[workload].containers.clone(),
            pod_requests: None,
        }
    }

    fn pod_metrics(&self, workload: usize, pod: &Pod) -> Option<PodMetrics> {
        let running = &self.workloads[workload];
        let sample = if pod.steady && !running.mixed { running.sample? } else { pod.sample? };
        let containers = &self.plan.workloads[workload].containers;
        let usage = |name: &str, first: bool| ContainerUsage {
            name: name.to_owned(),
            usage_milli: BTreeMap::from([
                ("cpu".to_owned(), if first { sample.cpu_milli } else { 0 }),
                ("memory".to_owned(), if first { sample.memory_milli } else { 0 }),
            ]),
        };
        // The work is the first container's; sidecars use next to nothing.
        let usages = containers.iter().enumerate().map(|(index, container)| usage(&container.name, index == 0));
        Some(PodMetrics {
            pod: pod.view.name.clone(),
            at: sample.at,
            window: sample.window,
            containers: usages.collect(),
        })
    }
}

impl super::workload::Running {
    /// What the steady pods use together.
    fn steady_cpu_milli_at(&self, common: &Sample) -> i64 {
        if self.mixed { self.steady_cpu_milli } else { self.steady * common.cpu_milli }
    }
}
