//! What metrics-server knows: the difference of two readings of each pod's counters.

use units::{Millis, Timestamp};

use super::World;
use super::pod::{Sample, State};

/// A container with one reading only is reported when it has run for this long (metrics-server's
/// `freshContainerMinMetricsResolution`).
const FRESH_AFTER: i64 = 10_000;

impl World<'_> {
    /// Reads every pod, as metrics-server does at its resolution.
    pub(super) fn sample(&mut self) {
        if self.trouble.metrics > 0 || self.last_sample == self.now {
            return;
        }
        let since = std::mem::replace(&mut self.last_sample, self.now);
        if self.is_uneven() {
            // Pods that differ have sums of their own, which are brought up to date all together.
            self.account();
        }
        for workload in 0..self.workloads.len() {
            if self.plan.workloads[workload].hpa.is_some() {
                self.sample_workload(workload, since);
            }
        }
    }

    fn sample_workload(&mut self, workload: usize, since: i64) {
        let now = self.now;
        // What ran before the start has been read before, too.
        let window = if since == 0 { self.scenario.cloud.metrics_delay } else { Millis(now - since) };
        let memory_milli = self.flow.memory_of(workload).saturating_mul(1000);
        let counter = self.counter(workload);
        let running_evenly = (self.flow.since <= since).then(|| self.flow.used_by(workload)).flatten();
        let running = &mut self.workloads[workload];
        let seconds = (now - since) as f64 / 1000.0;
        // What has not changed meanwhile needs no difference, which would only round.
        let even = running_evenly.unwrap_or_else(|| (counter - running.sampled_counter) / seconds);
        let common = Sample { at: Timestamp(now).truncated(), window, cpu_milli: to_milli(even), memory_milli };
        running.sampled_counter = counter;
        running.sample = Some(common);
        let uniform = self.flow.is_uniform(workload);
        let mixed = running.mixed || !uniform;
        let members = mixed.then(|| std::mem::take(&mut running.members));
        let was_young = std::mem::take(&mut running.young);
        if members.is_none() && was_young.is_empty() {
            running.mixed = false;
            running.steady_cpu_milli = running.steady * common.cpu_milli;
            return;
        }
        let mut young = Vec::new();
        let mut steady = if mixed { 0 } else { running.steady };
        let mut steady_cpu = if mixed { 0 } else { running.steady * common.cpu_milli };
        for id in members.as_ref().unwrap_or(&was_young).iter().copied() {
            let startup_cpu = self.workloads[workload].startup_cpu;
            let idle = self.flow.idle_of(workload);
            let Some(pod) = self.pod_mut(id) else { continue };
            let used = match pod.state {
                State::Ready if pod.serving => pod.cpu_base + counter,
                State::Ready => pod.cpu_base + idle * (now - pod.changed) as f64 / 1000.0,
                State::Starting => startup_cpu * (now - pod.started) as f64 / 1000.0,
                _ => {
                    pod.sample = None;
                    pod.reading = None;
                    young.push(id);
                    continue;
                }
            };
            let since = match pod.reading {
                Some(reading) => Some(reading),
                None if now - pod.started >= FRESH_AFTER && pod.started > super::pod::LONG_AGO => {
                    Some((pod.started, 0.0))
                }
                None => None,
            };
            pod.reading = Some((now, used));
            pod.sample = since.filter(|(at, _)| *at < now).map(|(at, before)| Sample {
                window: Millis(now - at),
                cpu_milli: to_milli((used - before) * 1000.0 / (now - at) as f64),
                ..common
            });
            if pod.sample.is_none() && pod.started == super::pod::LONG_AGO {
                // It has always been there, and so were its readings.
                pod.sample = Some(common);
            }
            let covered = pod.sample.is_some_and(|sample| {
                pod.state == State::Ready && sample.at >= Timestamp(pod.changed).truncated() + sample.window
            });
            pod.steady = covered && pod.serving;
            if pod.steady {
                steady += 1;
                steady_cpu += pod.sample.map_or(0, |sample| sample.cpu_milli);
            } else {
                young.push(id);
            }
        }
        let running = &mut self.workloads[workload];
        if let Some(members) = members {
            running.members = members;
        }
        running.young = young;
        running.steady = steady;
        running.steady_cpu_milli = steady_cpu;
        running.mixed = !uniform;
    }
}

impl World<'_> {
    /// Leaves out the samples and syncs before `until` that are like the last ones: nothing has changed since before the
    /// last sample began, and the pods of each workload are alike.
    pub(super) fn leap(&mut self, until: i64) {
        let delay = self.scenario.cloud.metrics_delay;
        if self.trouble.metrics > 0 || self.flow.since > self.last_sample - delay.0 || self.is_uneven() {
            return;
        }
        let (first, every, before) = (Timestamp(self.next_sync), self.plan.hpa.sync_period, Timestamp(until));
        let mut syncs = i64::MAX;
        for workload in 0..self.workloads.len() {
            let Some(hpa) = &self.plan.workloads[workload].hpa else { continue };
            let running = &self.workloads[workload];
            let (Some(quick), true) = (&hpa.quick, running.young.is_empty()) else { return };
            let Some(counts) = self.all_counts(workload, quick) else { return };
            let kept = (&running.memory, &running.streak);
            syncs = syncs.min(quick.repeats(running.desired, &counts, kept, (first, every, before)));
            if syncs == 0 {
                return;
            }
        }
        if syncs == i64::MAX {
            return;
        }
        // The samples before the first sync that is needed again.
        let needed = self.next_sync + syncs * every.0;
        let samples = (needed.min(until) - 1 - self.next_sample).div_euclid(delay.0) + 1;
        for workload in 0..self.workloads.len() {
            let Some(hpa) = &self.plan.workloads[workload].hpa else { continue };
            let running = &mut self.workloads[workload];
            if let Some(quick) = &hpa.quick {
                let kept = (&mut running.memory, &mut running.streak);
                quick.repeat(&self.plan.hpa, kept, (first, every, syncs));
            }
        }
        self.next_sync = needed;
        if samples > 0 {
            self.now = self.next_sample + (samples - 1) * delay.0;
            self.last_sample = self.now;
            self.next_sample = self.now + delay.0;
            for workload in 0..self.workloads.len() {
                let counter = self.counter(workload);
                let running = &mut self.workloads[workload];
                if let Some(sample) = running.sample.as_mut() {
                    sample.at = Timestamp(self.now).truncated();
                    running.sampled_counter = counter;
                }
            }
        }
    }
}

impl World<'_> {
    /// From now on the pods of a workload differ in what they use, and each needs readings of its own.
    pub(super) fn mix(&mut self, workload: usize) {
        let running = &mut self.workloads[workload];
        if running.mixed {
            return;
        }
        running.mixed = true;
        running.steady_cpu_milli = running.steady * running.sample.map_or(0, |sample| sample.cpu_milli);
        let (at, counter, common) = (self.last_sample, running.sampled_counter, running.sample);
        for id in running.members.clone() {
            if let Some(pod) = self.pod_mut(id).filter(|pod| pod.steady) {
                pod.reading = Some((at, pod.cpu_base + counter));
                pod.sample = common;
            }
        }
    }
}

impl World<'_> {
    /// The autoscaler must look at this pod by itself from now on; whether it did not before.
    pub(super) fn unsteady(&mut self, id: super::PodId) -> bool {
        let Some(pod) = self.pod_mut(id).filter(|pod| pod.steady) else { return false };
        pod.steady = false;
        let (workload, sample) = (pod.workload, pod.sample);
        if let Some(running) = workload.map(|workload| &mut self.workloads[workload]) {
            running.steady -= 1;
            running.steady_cpu_milli -= sample.map_or(0, |sample| sample.cpu_milli);
        }
        true
    }
}

/// Whole millicores, as `metrics.k8s.io` prints them.
fn to_milli(cores: f64) -> i64 {
    (cores * 1000.0 + 0.5) as i64
}
