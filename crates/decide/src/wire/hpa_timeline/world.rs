//! The scripted workload around the autoscaler: its pods, and what the metrics APIs answer about them.

use std::collections::BTreeMap;

use units::{Millis, Timestamp};

use super::script::{PodOverride, Script, Usage, cpu_milli, memory_milli};
use crate::hpa::Memory;
use crate::hpa::status::{CurrentValue, MetricStatus, Status};
use crate::hpa::view::{
    ConditionStatus, ContainerRequests, ContainerUsage, Metrics, Phase, Pod, PodMetrics, PodSample, ReadyCondition,
    Scale, Snapshot, Spec,
};
use crate::wire::input::InputError;

/// Initial pods are this old, so that no initialisation period touches them.
const INITIAL_AGE: Millis = Millis::from_secs(86_400);
const METRIC_WINDOW: Millis = Millis::from_secs(60);

struct Member {
    name: String,
    started_at: Timestamp,
    ready_at: Timestamp,
}

pub(super) struct World {
    pub memory: Memory,
    pub status: Status,
    spec: Spec,
    members: Vec<Member>,
    created: usize,
    next_step: usize,
    ready_delay: Millis,
    requests: Vec<ContainerRequests>,
    cpu: Usage,
    memory_usage: Usage,
    drop: bool,
    overrides: BTreeMap<String, PodOverride>,
    other_metrics: Vec<MetricStatus>,
}

impl World {
    pub fn new(script: &Script) -> World {
        let requests = script
            .containers
            .iter()
            .map(|name| ContainerRequests { name: name.clone(), requests_milli: script.pod_request_milli.clone() })
            .collect();
        let mut world = World {
            memory: Memory::default(),
            status: Status::default(),
            spec: script.spec.clone(),
            members: Vec::new(),
            created: 0,
            next_step: 0,
            ready_delay: script.pod_ready_delay,
            requests,
            cpu: Usage::Total(0),
            memory_usage: Usage::Total(0),
            drop: false,
            overrides: BTreeMap::new(),
            other_metrics: Vec::new(),
        };
        let long_ago = Timestamp::default() - INITIAL_AGE;
        for _ in 0..script.initial_replicas {
            world.add(long_ago, long_ago);
        }
        world
    }

    fn add(&mut self, started_at: Timestamp, ready_at: Timestamp) {
        self.members.push(Member { name: format!("web-{}", self.created), started_at, ready_at });
        self.created += 1;
    }

    pub fn replicas(&self) -> i32 {
        i32::try_from(self.members.len()).unwrap_or(i32::MAX)
    }

    /// The newest pods go first; new ones get ready after their delay.
    pub fn scale_to(&mut self, replicas: i32, now: Timestamp) {
        let wanted = usize::try_from(replicas).unwrap_or(0);
        self.members.truncate(wanted);
        while self.members.len() < wanted {
            self.add(now, now + self.ready_delay);
        }
    }

    /// Takes in every step up to `now`.
    pub fn advance(&mut self, script: &Script, now: Timestamp) -> Result<(), InputError> {
        while let Some(step) = script.steps.get(self.next_step).filter(|step| step.at <= now) {
            self.next_step += 1;
            self.cpu = step.cpu.unwrap_or(self.cpu);
            self.memory_usage = step.memory.unwrap_or(self.memory_usage);
            self.drop = step.drop.unwrap_or(self.drop);
            if let Some(pods) = &step.pods {
                for (name, pod) in pods {
                    let field = |part: &str| format!("steps[{}].pods.{name}.{part}", self.next_step - 1);
                    pod.cpu.map(|cpu| cpu_milli(&field("cpu"), cpu)).transpose()?;
                    pod.memory.map(|memory| memory_milli(&field("memory"), memory)).transpose()?;
                }
                self.overrides.extend(pods.iter().map(|(name, pod)| (name.clone(), *pod)));
            }
            if let Some(metrics) = &step.metrics {
                self.other_metrics.clone_from(metrics);
            }
            if let Some(spec) = &step.spec {
                self.spec = spec.clone();
            }
        }
        Ok(())
    }

    fn override_of(&self, member: &Member) -> PodOverride {
        self.overrides.get(&member.name).copied().unwrap_or_default()
    }

    fn is_ready(&self, member: &Member, now: Timestamp) -> bool {
        self.override_of(member).ready.unwrap_or(member.ready_at <= now)
    }

    pub fn ready_count(&self, now: Timestamp) -> usize {
        self.members.iter().filter(|member| self.is_ready(member, now)).count()
    }

    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let replicas = self.replicas();
        Snapshot {
            now,
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            spec: self.spec.clone(),
            status: self.status.clone(),
            scale: Ok(Scale {
                spec_replicas: replicas,
                status_replicas: replicas,
                selector: "app=web".to_owned(),
                selector_error: None,
            }),
            pods: self.members.iter().map(|member| self.pod(member, now)).collect(),
            selecting_autoscalers: vec!["default/web".to_owned()],
            metrics: if self.drop { Metrics::default() } else { self.metrics(now) },
        }
    }

    fn pod(&self, member: &Member, now: Timestamp) -> Pod {
        let ready = self.is_ready(member, now);
        // A pod that is not ready yet made its last transition when it started.
        let last_transition = if member.ready_at <= now { member.ready_at } else { member.started_at };
        Pod {
            name: member.name.clone(),
            phase: Phase::Running,
            deleting: false,
            start_time: Some(member.started_at.truncated()),
            ready: Some(ReadyCondition {
                status: if ready { ConditionStatus::True } else { ConditionStatus::False },
                last_transition: last_transition.truncated(),
            }),
            containers: self.requests.clone(),
            pod_requests: None,
        }
    }

    /// A pod is measured from the moment at which it is ready, unless the script says otherwise.
    fn is_measured(&self, member: &Member, now: Timestamp) -> bool {
        member.ready_at <= now && !self.override_of(member).missing.unwrap_or(false)
    }

    fn metrics(&self, now: Timestamp) -> Metrics {
        let ready = self.ready_count(now).max(1) as i64;
        let share = |usage: Usage| match usage {
            Usage::Total(milli) => milli / ready,
            Usage::PerPod(milli) => milli,
        };
        // Memory is shared in whole bytes, as a quantity of bytes has it.
        let (cpu, memory) = (share(self.cpu), share(self.memory_usage) / 1000 * 1000);
        let measured: Vec<&Member> = self.members.iter().filter(|member| self.is_measured(member, now)).collect();
        let resource = measured.iter().map(|member| self.pod_metrics(member, cpu, memory, now)).collect();
        let mut metrics = Metrics { resource: Some(Ok(resource)), ..Metrics::default() };
        for metric in &self.other_metrics {
            self.add_metric(&mut metrics, metric, &measured, now);
        }
        metrics
    }

    fn pod_metrics(&self, member: &Member, cpu: i64, memory: i64, now: Timestamp) -> PodMetrics {
        let own = self.override_of(member);
        let own_cpu = own.cpu.and_then(|value| cpu_milli("cpu", value).ok());
        let own_memory = own.memory.and_then(|value| memory_milli("memory", value).ok());
        let usage_milli: BTreeMap<String, i64> =
            [("cpu".to_owned(), own_cpu.unwrap_or(cpu)), ("memory".to_owned(), own_memory.unwrap_or(memory))].into();
        let containers = self
            .requests
            .iter()
            .enumerate()
            .map(|(index, container)| ContainerUsage {
                name: container.name.clone(),
                // The load runs in the first container; others idle unless a container metric says otherwise.
                usage_milli: if index == 0 {
                    usage_milli.clone()
                } else {
                    usage_milli.keys().map(|name| (name.clone(), 0)).collect()
                },
            })
            .collect();
        PodMetrics { pod: member.name.clone(), at: now.truncated(), window: METRIC_WINDOW, containers }
    }

    fn add_metric(&self, metrics: &mut Metrics, metric: &MetricStatus, measured: &[&Member], now: Timestamp) {
        let average =
            |current: &CurrentValue| current.average_value.or(current.value).map_or(0, units::Quantity::millis);
        let total = |current: &CurrentValue| match (current.value, current.average_value) {
            (Some(value), _) => value.millis(),
            (None, Some(average)) => average.millis().saturating_mul(measured.len() as i64),
            (None, None) => 0,
        };
        match metric {
            MetricStatus::Pods { metric, current } => {
                let samples = measured.iter().map(|member| PodSample {
                    pod: member.name.clone(),
                    at: now.truncated(),
                    window: METRIC_WINDOW,
                    value_milli: average(current),
                });
                metrics.pods.insert(metric.name.clone(), Ok(samples.collect()));
            }
            MetricStatus::Object { metric, current, .. } => {
                metrics.object.insert(metric.name.clone(), Ok(total(current)));
            }
            MetricStatus::External { metric, current } => {
                metrics.external.insert(metric.name.clone(), Ok(vec![total(current)]));
            }
            MetricStatus::ContainerResource { resource, container, current } => {
                for pod in metrics.resource.iter_mut().filter_map(|resource| resource.as_mut().ok()).flatten() {
                    for usage in pod.containers.iter_mut().filter(|usage| usage.name == *container) {
                        usage.usage_milli.insert(resource.clone(), average(current));
                    }
                }
            }
            MetricStatus::Resource { .. } | MetricStatus::Missing => {}
        }
    }
}
