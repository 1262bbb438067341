//! What containers use, sampled as metrics-server samples it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube_server::node_agent::{ContainerUsage, NodeUsage, PodUsage};
use parking_lot::Mutex;
use units::{Bytes, Millicores, Millis, Timestamp};

use crate::clock::now;
use crate::procfs::{self, TICKS_PER_SECOND};
use crate::shared::{ContainerView, PodView, Shared};

/// metrics-server's `--metric-resolution`.
const RESOLUTION: Duration = Duration::from_secs(15);
/// A container with one sample only is reported when it has run for this long (metrics-server's
/// `freshContainerMinMetricsResolution`).
const FRESH_AFTER: Millis = Millis::from_secs(10);

/// Namespace, pod, container and the run's number: a restarted container starts counting again.
type Key = (String, String, String, i32);

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Timestamp,
    ticks: u64,
}

/// One container's present figures, for `/metrics/cadvisor` and `/metrics/resource`.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub at: Timestamp,
    pub pod: PodView,
    pub container: ContainerView,
    /// Virtual vCPU seconds since the container's start.
    pub cpu_seconds: f64,
    pub memory: Bytes,
    /// None until there is a window to average over.
    pub rate: Option<Rate>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub cpu: Millicores,
    pub window: Millis,
}

#[derive(Default)]
pub(crate) struct Sampler {
    readings: Mutex<BTreeMap<Key, Reading>>,
    samples: Mutex<Arc<Vec<Sample>>>,
}

impl Sampler {
    pub(crate) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut ticks = tokio::time::interval(RESOLUTION);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sample(&shared);
        }
    }

    pub(crate) fn samples(&self) -> Arc<Vec<Sample>> {
        Arc::clone(&self.samples.lock())
    }

    fn sample(&self, shared: &Shared) {
        let processes = procfs::all();
        let scale = shared.config.vcpu_scale;
        let mut before = std::mem::take(&mut *self.readings.lock());
        let mut readings = BTreeMap::new();
        let mut samples = Vec::new();
        for pod in shared.pods().into_iter().filter(|pod| shared.node_fault(&pod.node).is_none()) {
            for container in pod.containers.iter().filter(|container| container.running) {
                let key = (pod.namespace.clone(), pod.name.clone(), container.name.clone(), container.restarts);
                let process = container.process.as_ref();
                let reading = Reading { at: now(), ticks: process.map_or(0, |process| process.cpu_ticks(&processes)) };
                let members = process.map(|process| process.members(&processes)).unwrap_or_default();
                let memory: u64 = members.iter().map(|member| procfs::memory_bytes(member.pid)).sum();
                let start = Reading { at: container.started, ticks: 0 };
                let rate = match before.remove(&key) {
                    Some(earlier) => rate(earlier, reading, scale, container.cpu_limit),
                    None if reading.at - start.at >= FRESH_AFTER => rate(start, reading, scale, container.cpu_limit),
                    None => None,
                };
                samples.push(Sample {
                    at: reading.at,
                    pod: pod.clone(),
                    container: container.clone(),
                    cpu_seconds: reading.ticks as f64 / TICKS_PER_SECOND as f64 * scale,
                    memory: Bytes(i64::try_from(memory).unwrap_or(i64::MAX)),
                    rate,
                });
                readings.insert(key, reading);
            }
        }
        *self.readings.lock() = readings;
        *self.samples.lock() = Arc::new(samples);
    }

    /// Pods of which every running container has a rate, as metrics-server leaves out the others.
    pub(crate) fn pods(&self) -> Vec<PodUsage> {
        let mut pods: BTreeMap<(String, String), Option<PodUsage>> = BTreeMap::new();
        for sample in self.samples().iter() {
            let key = (sample.pod.namespace.clone(), sample.pod.name.clone());
            let entry = pods.entry(key).or_insert_with(|| {
                Some(PodUsage {
                    namespace: sample.pod.namespace.clone(),
                    pod: sample.pod.name.clone(),
                    at: sample.at,
                    window: Millis::ZERO,
                    containers: Vec::new(),
                })
            });
            match (entry.as_mut(), sample.rate) {
                (Some(usage), Some(rate)) => {
                    usage.window = usage.window.max(rate.window);
                    usage.containers.push(ContainerUsage {
                        container: sample.container.name.clone(),
                        cpu: rate.cpu,
                        memory: sample.memory,
                    });
                }
                _ => *entry = None,
            }
        }
        pods.into_values().flatten().collect()
    }

    /// A node uses what its pods use: the machine itself is virtual.
    pub(crate) fn nodes(&self, shared: &Shared) -> Vec<NodeUsage> {
        let samples = self.samples();
        let at = samples.iter().map(|sample| sample.at).max();
        let Some(at) = at else { return Vec::new() };
        let sum = |node: String| {
            let own: Vec<&Sample> = samples.iter().filter(|sample| sample.pod.node == node).collect();
            NodeUsage {
                at,
                window: own
                    .iter()
                    .filter_map(|sample| sample.rate)
                    .map(|rate| rate.window)
                    .max()
                    .unwrap_or(Millis(RESOLUTION.as_millis() as i64)),
                cpu: own.iter().filter_map(|sample| sample.rate).map(|rate| rate.cpu).sum(),
                memory: own.iter().map(|sample| sample.memory).sum(),
                node,
            }
        };
        shared.node_names().into_iter().filter(|node| shared.node_fault(node).is_none()).map(sum).collect()
    }
}

/// Capped at the limit, which nothing enforces in this mode: what a container used beyond it, it would not have got.
fn rate(earlier: Reading, later: Reading, scale: f64, limit: Option<Millicores>) -> Option<Rate> {
    let window = later.at - earlier.at;
    if window <= Millis::ZERO {
        return None;
    }
    let ticks = later.ticks.saturating_sub(earlier.ticks);
    let used = (ticks * 1000) as f64 / TICKS_PER_SECOND as f64 * scale / window.as_secs_f64();
    let cpu = Millicores(used.round() as i64);
    Some(Rate { cpu: limit.map_or(cpu, |limit| cpu.min(limit)), window })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differs (Isolation `none`): CPU is reported in virtual vCPUs (by default 18 for the whole machine), so that a
    /// laptop stands for a fleet, and capped at the limit; nothing is throttled.
    #[test]
    fn usage_is_in_virtual_vcpus_and_stays_within_the_limit() {
        let at = |seconds, ticks| Reading { at: Timestamp::from_secs(seconds), ticks };
        let cpu = |limit| rate(at(0, 100), at(15, 250), 9.0, limit).unwrap().cpu;
        // 1.5 s of CPU in 15 s is a tenth of a core, at nine vCPUs a core.
        assert_eq!(cpu(None), Millicores(900));
        assert_eq!(cpu(Some(Millicores(500))), Millicores(500));
        assert!(rate(at(5, 1), at(5, 2), 1.0, None).is_none());
    }
}
