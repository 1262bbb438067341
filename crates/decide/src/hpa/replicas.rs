//! How many replicas one metric asks for: upstream's ReplicaCalculator
//! (`pkg/controller/podautoscaler/replica_calculator.go` and `metrics/utilization.go`, Kubernetes 1.36).

use std::collections::{BTreeMap, BTreeSet};

use units::{Millis, Timestamp};

use super::view::{ConditionStatus, Phase, Pod, Settings};

/// How far the usage may lie from its target before anything changes, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub scale_down: f64,
    pub scale_up: f64,
}

impl Tolerances {
    pub(super) fn is_within(self, usage_ratio: f64) -> bool {
        (1.0 - self.scale_down) <= usage_ratio && usage_ratio <= (1.0 + self.scale_up)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub at: Timestamp,
    pub window: Millis,
    pub value_milli: i64,
}

pub(super) type Samples<'a> = BTreeMap<&'a str, Sample>;

/// What a metric proposes, with the numbers that led there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal<'a> {
    pub replicas: i32,
    /// Percent of the request; only for utilization targets.
    pub utilization: Option<i32>,
    pub average_milli: i64,
    pub usage_ratio: f64,
    /// The ratio after unready and missing pods were assumed to use something; equals `usage_ratio` when none were.
    pub assumed_ratio: f64,
    pub groups: Groups<'a>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups<'a> {
    pub ready_count: usize,
    pub unready: BTreeSet<&'a str>,
    pub missing: BTreeSet<&'a str>,
    pub ignored: BTreeSet<&'a str>,
}

/// What the usage is measured against.
pub(super) enum Goal<'a> {
    Utilization { percent: i32, requests_milli: &'a BTreeMap<&'a str, i64> },
    Average { milli: i64 },
}

pub(super) const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

/// Go's `int32(float64)` on amd64: out of range gives the smallest int32.
pub(super) fn ceil_to_i32(value: f64) -> i32 {
    let ceiled = value.ceil();
    if (-2_147_483_648.0..=2_147_483_647.0).contains(&ceiled) { ceiled as i32 } else { i32::MIN }
}

/// As [`ceil_to_i32`], but saturating upwards, where upstream guards against overflow.
pub(super) fn ceil_to_i32_saturating(value: f64) -> i32 {
    if value > f64::from(i32::MAX) { i32::MAX } else { ceil_to_i32(value) }
}

impl Goal<'_> {
    /// Usage relative to the goal, with the utilization in percent (for that goal) and the average.
    fn ratio(&self, samples: &Samples<'_>) -> Result<(f64, Option<i32>, i64), String> {
        match self {
            Goal::Utilization { percent, requests_milli } => {
                let (mut used, mut requested, mut count) = (0_i64, 0_i64, 0_i64);
                for (pod, sample) in samples {
                    let Some(request) = requests_milli.get(pod) else { continue };
                    used = used.wrapping_add(sample.value_milli);
                    requested = requested.wrapping_add(*request);
                    count += 1;
                }
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                // Upstream truncates to int32; the cast keeps its behaviour for absurd values.
                let utilization = (used.wrapping_mul(100) / requested) as i32;
                Ok((f64::from(utilization) / f64::from(*percent), Some(utilization), used / count))
            }
            Goal::Average { milli } => {
                let total = samples.values().fold(0_i64, |sum, sample| sum.wrapping_add(sample.value_milli));
                let average = total / samples.len() as i64;
                Ok((average as f64 / *milli as f64, None, average))
            }
        }
    }

    /// What a pod without metrics is assumed to use when the others ask for fewer replicas.
    fn assumed_when_shrinking(&self, pod: &str) -> i64 {
        match self {
            Goal::Utilization { percent, requests_milli } => {
                let request = requests_milli.get(pod).copied().unwrap_or(0);
                request.wrapping_mul(i64::from((*percent).max(100))) / 100
            }
            Goal::Average { milli } => *milli,
        }
    }
}

/// The target as it is at one instant, and the rules that are set for it.
#[derive(Clone, Copy)]
pub(super) struct Observed<'a> {
    pub pods: &'a [Pod],
    pub current_replicas: i32,
    pub tolerances: Tolerances,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

/// The replica count for a metric that every pod reports.
///
/// # Errors
/// With upstream's message, when no pod or no usable metric is there.
pub(super) fn per_pod<'a>(
    target: &Observed<'a>,
    mut samples: Samples<'a>,
    goal: &Goal<'_>,
    is_cpu: bool,
) -> Result<Proposal<'a>, String> {
    let Observed { pods, current_replicas, tolerances, settings, now } = *target;
    let groups = group_pods(pods, &samples, is_cpu, settings, now);
    samples.retain(|pod, _| !groups.ignored.contains(*pod) && !groups.unready.contains(*pod));
    if samples.is_empty() {
        return Err(NO_METRICS.to_owned());
    }
    let (usage_ratio, utilization, average_milli) = goal.ratio(&samples)?;
    let proposal = |replicas, assumed_ratio, groups| Proposal {
        replicas,
        utilization,
        average_milli,
        usage_ratio,
        assumed_ratio,
        groups,
    };

    let scale_up_with_unready = !groups.unready.is_empty() && usage_ratio > 1.0;
    if !scale_up_with_unready && groups.missing.is_empty() {
        let replicas = if tolerances.is_within(usage_ratio) {
            current_replicas
        } else {
            ceil_to_i32(usage_ratio * groups.ready_count as f64)
        };
        return Ok(proposal(replicas, usage_ratio, groups));
    }

    let assume = |value_milli| Sample { at: now, window: Millis::ZERO, value_milli };
    if usage_ratio < 1.0 {
        for pod in groups.missing.iter().copied() {
            samples.insert(pod, assume(goal.assumed_when_shrinking(pod)));
        }
    } else if usage_ratio > 1.0 {
        samples.extend(groups.missing.iter().map(|pod| (*pod, assume(0))));
    }
    if scale_up_with_unready {
        samples.extend(groups.unready.iter().map(|pod| (*pod, assume(0))));
    }
    let (assumed_ratio, _, _) = goal.ratio(&samples)?;
    let count = samples.len();
    if tolerances.is_within(assumed_ratio) || has_turned(usage_ratio, assumed_ratio) {
        return Ok(proposal(current_replicas, assumed_ratio, groups));
    }
    let replicas = ceil_to_i32(assumed_ratio * count as f64);
    let reversed = is_reversed(assumed_ratio, replicas, current_replicas);
    Ok(proposal(if reversed { current_replicas } else { replicas }, assumed_ratio, groups))
}

/// Whether what is assumed of pods without a sample makes too much of too little, or the other way round.
pub(super) fn has_turned(usage_ratio: f64, assumed_ratio: f64) -> bool {
    usage_ratio.partial_cmp(&1.0).is_some_and(|side| assumed_ratio.partial_cmp(&1.0) == Some(side.reverse()))
}

/// Whether more pods are proposed although too little is used, or fewer although too much is.
pub(super) fn is_reversed(ratio: f64, replicas: i32, current: i32) -> bool {
    ratio.partial_cmp(&1.0) == Some(replicas.cmp(&current).reverse())
}

/// The replica count for a metric with one value for the whole target.
///
/// # Errors
/// With upstream's message, when the target has replicas but the selector no pods.
pub(super) fn by_total(
    usage_ratio: f64,
    pods: &[Pod],
    current_replicas: i32,
    tolerances: Tolerances,
) -> Result<i32, String> {
    if current_replicas == 0 {
        return Ok(ceil_to_i32(usage_ratio));
    }
    if tolerances.is_within(usage_ratio) {
        return Ok(current_replicas);
    }
    if pods.is_empty() {
        return Err(format!("unable to calculate ready pods: {NO_PODS}"));
    }
    let ready = pods.iter().filter(|pod| pod.phase == Phase::Running && is_ready(pod)).count();
    Ok(ceil_to_i32_saturating(usage_ratio * ready as f64))
}

/// The replica count for a total that is to be spread over the pods, and the average that the status shows.
pub(super) fn by_average(
    total_milli: i64,
    target_milli: i64,
    status_replicas: i32,
    tolerances: Tolerances,
) -> (i32, i64) {
    let usage_ratio = total_milli as f64 / (target_milli as f64 * f64::from(status_replicas));
    let replicas = if tolerances.is_within(usage_ratio) {
        status_replicas
    } else {
        ceil_to_i32_saturating(total_milli as f64 / target_milli as f64)
    };
    let average = (total_milli as f64 / f64::from(status_replicas)).ceil();
    // Go's `int64(+Inf)` on amd64 is the smallest int64; it happens with no replicas.
    let average = if average.is_finite() && average.abs() < 9.3e18 { average as i64 } else { i64::MIN };
    (replicas, if total_milli == i64::MAX { i64::MAX } else { average })
}

fn is_ready(pod: &Pod) -> bool {
    pod.ready.is_some_and(|ready| ready.status == ConditionStatus::True)
}

fn group_pods<'a>(
    pods: &'a [Pod],
    samples: &Samples<'_>,
    is_cpu: bool,
    settings: &Settings,
    now: Timestamp,
) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in pods {
        if pod.deleting || pod.phase == Phase::Failed {
            groups.ignored.insert(&pod.name);
        } else if pod.phase == Phase::Pending {
            groups.unready.insert(&pod.name);
        } else if let Some(sample) = samples.get(pod.name.as_str()) {
            if is_cpu && is_cpu_sample_unusable(pod, sample, settings, now) {
                groups.unready.insert(&pod.name);
            } else {
                groups.ready_count += 1;
            }
        } else {
            groups.missing.insert(&pod.name);
        }
    }
    groups
}

/// CPU of a pod that is still starting says nothing about the load.
fn is_cpu_sample_unusable(pod: &Pod, sample: &Sample, settings: &Settings, now: Timestamp) -> bool {
    let (Some(ready), Some(start)) = (pod.ready, pod.start_time) else { return true };
    let not_ready = ready.status == ConditionStatus::False;
    if start + settings.cpu_initialization_period > now {
        // One whole window must have been measured since the pod became ready.
        not_ready || sample.at < ready.last_transition + sample.window
    } else {
        // It was never ready: its last transition lies within the initial delay.
        not_ready && start + settings.initial_readiness_delay > ready.last_transition
    }
}

/// Requests of each pod for one resource, in thousandths.
///
/// # Errors
/// With upstream's message, when a container requests none of the resource.
pub(super) fn requests<'a>(
    pods: &'a [Pod],
    container: Option<&str>,
    resource: &str,
) -> Result<BTreeMap<&'a str, i64>, String> {
    pods.iter().map(|pod| pod_request(pod, container, resource).map(|milli| (pod.name.as_str(), milli))).collect()
}

fn pod_request(pod: &Pod, container: Option<&str>, resource: &str) -> Result<i64, String> {
    if let (Some(pod_requests), None) = (&pod.pod_requests, container) {
        return pod_requests
            .get(resource)
            .copied()
            .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {}", pod.name));
    }
    let mut sum = 0_i64;
    for candidate in &pod.containers {
        if container.is_none_or(|name| name == candidate.name) {
            let milli = candidate.requests_milli.get(resource).ok_or_else(|| {
                format!("missing request for {resource} in container {} of Pod {}", candidate.name, pod.name)
            })?;
            sum = sum.wrapping_add(*milli);
        }
        if container.is_some_and(|name| name == candidate.name) {
            return Ok(sum);
        }
    }
    match container {
        Some(name) => Err(format!("container {name} not found in Pod {}", pod.name)),
        None => Ok(sum),
    }
}
