//! Whether a sync would change anything, without words: what a simulator asks a hundred thousand times where nothing
//! happens. Only a sync that changes something needs [`super::decide`], which then gives the reasons.
//!
//! It covers resource metrics over pods that all request the same, and shares stabilisation and limits with `decide`;
//! `tests/hpa_quick.rs` holds both against each other.

use std::collections::BTreeMap;

use units::{Millis, Timestamp};

use super::Memory;
use super::normalize::{Recommendation, Wish, assess, remember};
use super::replicas::{Tolerances, ceil_to_i32, has_turned, is_reversed};
use super::view::{Behavior, MetricSpec, Settings, Spec};

/// The pods of the target as one metric sees them; pods that are ignored count nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods whose sample counts.
    pub ready: i64,
    /// What those use together, in thousandths of the resource's unit.
    pub used_milli: i64,
    pub unready: i64,
    pub missing: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Utilization { percent: i32, request_milli: i64 },
    Average { milli: i64 },
}

/// One autoscaler, prepared.
#[derive(Clone, Debug)]
pub struct Quick {
    metrics: Vec<(String, Goal)>,
    min: i32,
    max: i32,
    behavior: Option<Behavior>,
    tolerances: Tolerances,
}

/// The metrics that a sync may have here.
pub const MOST_METRICS: usize = 2;

/// A sync that left the number as it was, kept by the caller: the next one like it costs a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    counts: [Counts; MOST_METRICS],
    current: i32,
    /// What it wanted, and when.
    desired: i32,
    at: Timestamp,
    /// Before this instant the same comes to the same.
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sync leaves the number as it is, and the memory is what `decide` would have left.
    Stays,
    /// The sync changes something, or is not covered: ask `decide`. The memory was not touched.
    AskDecide,
}

impl Quick {
    /// `None` where a metric is not a resource's, the pods do not request what it compares with, or there are more metrics
    /// than [`MOST_METRICS`].
    pub fn new(settings: &Settings, spec: &Spec, request_milli: &BTreeMap<String, i64>) -> Option<Quick> {
        let goal = |metric: &MetricSpec| {
            let MetricSpec::Resource { resource, target } = metric else { return None };
            let goal = match (target.average_value, target.average_utilization) {
                (Some(average), _) => Goal::Average { milli: average.millis() },
                (None, Some(percent)) => {
                    let request_milli = *request_milli.get(resource).filter(|milli| **milli > 0)?;
                    Goal::Utilization { percent, request_milli }
                }
                (None, None) => return None,
            };
            Some((resource.clone(), goal))
        };
        let of = |tolerance: Option<f64>| tolerance.unwrap_or(settings.tolerance);
        let behavior = spec.behavior.as_ref();
        Some(Quick {
            metrics: spec
                .metrics
                .iter()
                .map(goal)
                .collect::<Option<Vec<_>>>()
                .filter(|list| (1..=MOST_METRICS).contains(&list.len()))?,
            min: spec.min_replicas(),
            max: spec.max_replicas,
            behavior: spec.behavior.clone(),
            tolerances: Tolerances {
                scale_down: of(behavior.and_then(|behavior| behavior.scale_down.tolerance)),
                scale_up: of(behavior.and_then(|behavior| behavior.scale_up.tolerance)),
            },
        })
    }

    /// The resources whose [`Counts`] are asked for, in this order.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|(resource, _)| resource.as_str())
    }

    /// One sync at `now`. `counts` are in the order of [`Quick::resources`].
    pub fn sync(
        &self,
        settings: &Settings,
        current: i32,
        counts: &[Counts; MOST_METRICS],
        (memory, streak): (&mut Memory, &mut Streak),
        now: Timestamp,
    ) -> Verdict {
        // Whatever else happened to the memory since would be its last entry.
        let last = Recommendation { replicas: streak.desired, at: streak.at };
        if now < streak.until
            && current == streak.current
            && *counts == streak.counts
            && memory.recommendations.last() == Some(&last)
        {
            streak.at = now;
            remember(memory, self.behavior.as_ref(), settings, streak.desired, now);
            return Verdict::Stays;
        }
        if current <= 0 || current < self.min || current > self.max || memory.recommendations.is_empty() {
            return Verdict::AskDecide;
        }
        let mut desired = 0;
        for ((_, goal), counts) in self.metrics.iter().zip(counts) {
            let Some(wish) = self.wish(*goal, counts, current) else { return Verdict::AskDecide };
            desired = desired.max(wish);
        }
        let wish = Wish { current, desired, min: self.min, max: self.max };
        let (normalized, until) = assess(&wish, self.behavior.as_ref(), memory, settings, now);
        if normalized.replicas != current {
            return Verdict::AskDecide;
        }
        remember(memory, self.behavior.as_ref(), settings, wish.desired, now);
        *streak = Streak { counts: *counts, current, desired: wish.desired, at: now, until };
        Verdict::Stays
    }

    /// How many of the syncs at `first`, `first + every` and so on before `before` are certain to be like the last one.
    pub fn repeats(
        &self,
        current: i32,
        counts: &[Counts; MOST_METRICS],
        (memory, streak): (&Memory, &Streak),
        (first, every, before): (Timestamp, Millis, Timestamp),
    ) -> i64 {
        let last = Recommendation { replicas: streak.desired, at: streak.at };
        let alike =
            current == streak.current && *counts == streak.counts && memory.recommendations.last() == Some(&last);
        let before = before.min(streak.until);
        if !alike || first >= before || every.0 <= 0 { 0 } else { (before.0 - first.0 - 1) / every.0 + 1 }
    }

    /// So many syncs, which [`Quick::repeats`] has allowed.
    pub fn repeat(
        &self,
        settings: &Settings,
        (memory, streak): (&mut Memory, &mut Streak),
        (first, every, times): (Timestamp, Millis, i64),
    ) {
        for number in 0..times {
            streak.at = Timestamp(first.0 + number * every.0);
            remember(memory, self.behavior.as_ref(), settings, streak.desired, streak.at);
        }
    }

    /// As `replicas::per_pod`, over numbers of pods instead of pods. `None`: the metric cannot be computed.
    fn wish(&self, goal: Goal, counts: &Counts, current: i32) -> Option<i32> {
        if counts.ready == 0 {
            return None;
        }
        let usage = goal.ratio(counts.used_milli, counts.ready);
        let with_unready = counts.unready > 0 && usage > 1.0;
        if !with_unready && counts.missing == 0 {
            let within = self.tolerances.is_within(usage);
            return Some(if within { current } else { ceil_to_i32(usage * counts.ready as f64) });
        }
        let (mut used, mut count) = (counts.used_milli, counts.ready);
        if usage < 1.0 {
            used = used.wrapping_add(goal.assumed_when_shrinking().wrapping_mul(counts.missing));
            count += counts.missing;
        } else if usage > 1.0 {
            count += counts.missing;
        }
        if with_unready {
            count += counts.unready;
        }
        let assumed = goal.ratio(used, count);
        if self.tolerances.is_within(assumed) || has_turned(usage, assumed) {
            return Some(current);
        }
        let replicas = ceil_to_i32(assumed * count as f64);
        Some(if is_reversed(assumed, replicas, current) { current } else { replicas })
    }
}

impl Goal {
    fn ratio(self, used_milli: i64, pods: i64) -> f64 {
        match self {
            Goal::Utilization { percent, request_milli } => {
                let utilization = (used_milli.wrapping_mul(100) / request_milli.wrapping_mul(pods)) as i32;
                f64::from(utilization) / f64::from(percent)
            }
            Goal::Average { milli } => (used_milli / pods) as f64 / milli as f64,
        }
    }

    fn assumed_when_shrinking(self) -> i64 {
        match self {
            Goal::Utilization { percent, request_milli } => {
                request_milli.wrapping_mul(i64::from(percent.max(100))) / 100
            }
            Goal::Average { milli } => milli,
        }
    }
}
