//! Whether a sync would change anything, without words: what a simulator asks a hundred thousand times where nothing
//! happens. Only a sync that changes something needs [`super::decide`], which then gives the reasons.
//!
//! It covers resource metrics over pods that all request the same, and shares stabilisation and limits with `decide`;
//! `tests/hpa_quick.rs` holds both against each other.

use std::collections::BTreeMap;

use units::Timestamp;

use super::Memory;
use super::normalize::{Wish, assess, remember};
use super::replicas::{Tolerances, ceil_to_i32};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sync leaves the number as it is, and the memory is what `decide` would have left.
    Stays,
    /// The sync changes something, or is not covered: ask `decide`. The memory was not touched.
    AskDecide,
}

impl Quick {
    /// `None` where a metric is not a resource's, or the pods do not request what it compares with.
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
            metrics: spec.metrics.iter().map(goal).collect::<Option<Vec<_>>>().filter(|list| !list.is_empty())?,
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
        counts: &[Counts],
        memory: &mut Memory,
        now: Timestamp,
    ) -> Verdict {
        if current <= 0 || current < self.min || current > self.max || memory.recommendations.is_empty() {
            return Verdict::AskDecide;
        }
        let mut desired = 0;
        for ((_, goal), counts) in self.metrics.iter().zip(counts) {
            let Some(wish) = self.wish(*goal, counts, current) else { return Verdict::AskDecide };
            if desired == 0 || wish > desired {
                desired = wish;
            }
        }
        let wish = Wish { current, desired: desired.max(0), min: self.min, max: self.max };
        let (normalized, reusable) = assess(&wish, self.behavior.as_ref(), memory, settings, now);
        if normalized.replicas != current {
            return Verdict::AskDecide;
        }
        remember(memory, reusable, wish.desired, now);
        Verdict::Stays
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
        let turned = (usage < 1.0 && assumed > 1.0) || (usage > 1.0 && assumed < 1.0);
        if self.tolerances.is_within(assumed) || turned {
            return Some(current);
        }
        let replicas = ceil_to_i32(assumed * count as f64);
        let reversed = (assumed < 1.0 && replicas > current) || (assumed > 1.0 && replicas < current);
        Some(if reversed { current } else { replicas })
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
