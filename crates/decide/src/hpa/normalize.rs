//! From the metrics' wish to the allowed number: stabilisation, rates and bounds
//! (`pkg/controller/podautoscaler/horizontal.go`, Kubernetes 1.36).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use units::{Millis, Timestamp};

use super::replicas::ceil_to_i32;
use super::view::{Behavior, Policy, PolicyKind, Rules, SelectPolicy, Settings};

/// What the controller keeps of one autoscaler between syncs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Wishes before stabilisation, in the order of time. Those outside every window count for nothing; upstream reuses their
    /// places, here they are dropped now and then.
    pub recommendations: Vec<Recommendation>,
    pub scale_up_events: Vec<ScaleEvent>,
    pub scale_down_events: Vec<ScaleEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    pub replicas: i32,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleEvent {
    /// How many replicas were added or removed; positive either way.
    pub change: i32,
    pub at: Timestamp,
    pub outdated: bool,
}

/// The outcome of stabilisation and limits, with the condition that each of them sets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normalized {
    pub replicas: i32,
    pub stabilized: i32,
    pub able: (&'static str, &'static str),
    pub limited: bool,
    pub limit: (&'static str, &'static str),
}

pub(super) struct Wish {
    pub current: i32,
    pub desired: i32,
    pub min: i32,
    pub max: i32,
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const WITHIN_RANGE: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const SCALE_UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const SCALE_DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

/// Without `behavior`, one step at most doubles, but four replicas are always allowed.
const SCALE_UP_LIMIT_FACTOR: f64 = 2.0;
const SCALE_UP_LIMIT_MINIMUM: f64 = 4.0;

pub(super) fn normalize(
    wish: &Wish,
    behavior: Option<&Behavior>,
    memory: &mut Memory,
    settings: &Settings,
    now: Timestamp,
) -> Normalized {
    let (normalized, _) = assess(wish, behavior, memory, settings, now);
    remember(memory, behavior, settings, wish.desired, now);
    normalized
}

/// What [`normalize`] will say, before anything is remembered, and the instant before which further syncs with the same
/// wish and number come to the same.
pub(super) fn assess(
    wish: &Wish,
    behavior: Option<&Behavior>,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> (Normalized, Timestamp) {
    let (Stable { replicas: stabilized, until }, reason) = match behavior {
        None => (stabilize(wish, memory, settings, now), DOWN_STABILIZED),
        Some(behavior) => stabilize_with(wish, behavior, memory, settings, now),
    };
    // Rates are over periods that move on with the clock.
    let until = if behavior.is_some() && stabilized != wish.current { now } else { until };
    let stable = Wish { desired: stabilized, ..*wish };
    let (replicas, limit) = match behavior {
        None => limit_by_default(&stable),
        Some(behavior) => limit_with(&stable, behavior, memory, now),
    };
    let normalized = Normalized {
        replicas,
        stabilized,
        able: if stabilized == wish.desired { READY } else { reason },
        limited: replicas != stabilized,
        limit,
    };
    (normalized, until)
}

/// A stabilised number, and before which instant wishes like the present one leave it as it is.
struct Stable {
    replicas: i32,
    until: Timestamp,
}

const FOREVER: Timestamp = Timestamp(i64::MAX);

/// The highest wish within the downscale window, this one included.
fn stabilize(wish: &Wish, memory: &Memory, settings: &Settings, now: Timestamp) -> Stable {
    let cutoff = now - settings.downscale_stabilization;
    let mut highest = Stable { replicas: wish.desired, until: FOREVER };
    for recommendation in memory.recommendations.iter().rev().filter(|known| known.at >= cutoff) {
        if recommendation.replicas > highest.replicas {
            let until = recommendation.at + settings.downscale_stabilization;
            highest = Stable { replicas: recommendation.replicas, until };
        }
    }
    highest
}

fn stabilize_with(
    wish: &Wish,
    behavior: &Behavior,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> (Stable, (&'static str, &'static str)) {
    let reason = if wish.desired >= wish.current { UP_STABILIZED } else { DOWN_STABILIZED };
    if wish.desired == wish.current {
        // The lowest wish is no higher than this one and the highest no lower, whatever came before.
        return (Stable { replicas: wish.current, until: FOREVER }, reason);
    }
    let (up, down) = windows(behavior, settings);
    let (up_cutoff, down_cutoff) = (now - up, now - down);
    let (mut lowest, mut highest) = (wish.desired, wish.desired);
    let mut until = FOREVER;
    for known in memory.recommendations.iter().rev() {
        if known.at > up_cutoff && known.replicas < lowest {
            lowest = known.replicas;
            until = until.min(known.at + up);
        }
        if known.at > down_cutoff && known.replicas > highest {
            highest = known.replicas;
            until = until.min(known.at + down);
        }
    }
    (Stable { replicas: wish.current.max(lowest).min(highest), until }, reason)
}

/// The stabilisation windows for up and down.
fn windows(behavior: &Behavior, settings: &Settings) -> (Millis, Millis) {
    (
        behavior.scale_up.stabilization_window.unwrap_or(Millis::ZERO),
        behavior.scale_down.stabilization_window.unwrap_or(settings.downscale_stabilization),
    )
}

/// From this length on, wishes that count for nothing any more are dropped.
const MANY: usize = 44;

pub(super) fn remember(
    memory: &mut Memory,
    behavior: Option<&Behavior>,
    settings: &Settings,
    replicas: i32,
    now: Timestamp,
) {
    let known = &mut memory.recommendations;
    if known.len() >= MANY {
        let (up, down) = behavior.map_or((Millis::ZERO, settings.downscale_stabilization), |b| windows(b, settings));
        let cutoff = now - up.max(down);
        let outdated = known.iter().take_while(|wish| wish.at < cutoff).count();
        // Half of them at least, or long windows would move the rest every time.
        if outdated > known.len() / 2 {
            known.drain(..outdated);
        }
    }
    known.push(Recommendation { replicas, at: now });
}

fn limit_by_default(wish: &Wish) -> (i32, (&'static str, &'static str)) {
    let scale_up_limit = (SCALE_UP_LIMIT_FACTOR * f64::from(wish.current)).max(SCALE_UP_LIMIT_MINIMUM) as i32;
    let (most, reason) =
        if wish.max > scale_up_limit { (scale_up_limit, SCALE_UP_LIMIT) } else { (wish.max, TOO_MANY) };
    if wish.desired < wish.min {
        (wish.min, TOO_FEW)
    } else if wish.desired > most {
        (most, reason)
    } else {
        (wish.desired, WITHIN_RANGE)
    }
}

fn limit_with(
    wish: &Wish,
    behavior: &Behavior,
    memory: &Memory,
    now: Timestamp,
) -> (i32, (&'static str, &'static str)) {
    match wish.desired.cmp(&wish.current) {
        Ordering::Greater => {
            let limit = scale_up_limit(wish.current, &behavior.scale_up, memory, now).max(wish.current);
            let (most, reason) = if wish.max > limit { (limit, SCALE_UP_LIMIT) } else { (wish.max, TOO_MANY) };
            if wish.desired > most { (most, reason) } else { (wish.desired, WITHIN_RANGE) }
        }
        Ordering::Less => {
            let limit = scale_down_limit(wish.current, &behavior.scale_down, memory, now).min(wish.current);
            let (least, reason) = if wish.min < limit { (limit, SCALE_DOWN_LIMIT) } else { (wish.min, TOO_FEW) };
            if wish.desired < least { (least, reason) } else { (wish.desired, WITHIN_RANGE) }
        }
        Ordering::Equal => (wish.desired, WITHIN_RANGE),
    }
}

/// The replicas at the start of a policy's period: today's number with what happened since undone.
fn period_start(current: i32, policy: &Policy, memory: &Memory, now: Timestamp) -> i32 {
    let cutoff = now - policy.period;
    let changes = |events: &[ScaleEvent]| -> i32 {
        events.iter().filter(|event| event.at > cutoff).map(|event| event.change).sum()
    };
    current - changes(&memory.scale_up_events) + changes(&memory.scale_down_events)
}

fn scale_up_limit(current: i32, rules: &Rules, memory: &Memory, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy, memory, now);
        match policy.kind {
            PolicyKind::Pods => start.wrapping_add(policy.value),
            // Rounded up, or a small percentage could never add a replica.
            PolicyKind::Percent => ceil_to_i32(f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)),
        }
    });
    match rules.select_policy {
        SelectPolicy::Disabled => current,
        SelectPolicy::Min => proposals.min().unwrap_or(i32::MAX),
        SelectPolicy::Max => proposals.max().unwrap_or(i32::MIN),
    }
}

fn scale_down_limit(current: i32, rules: &Rules, memory: &Memory, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy, memory, now);
        match policy.kind {
            PolicyKind::Pods => start.wrapping_sub(policy.value),
            PolicyKind::Percent => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
        }
    });
    // The smallest change is the largest remaining number.
    match rules.select_policy {
        SelectPolicy::Disabled => current,
        SelectPolicy::Min => proposals.max().unwrap_or(i32::MIN),
        SelectPolicy::Max => proposals.min().unwrap_or(i32::MAX),
    }
}

impl Memory {
    /// The first sync remembers the number it found, so that the first scale-down waits out its window.
    pub(super) fn record_initial(&mut self, replicas: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push(Recommendation { replicas, at: now });
        }
    }

    /// Upstream keeps scale events only for autoscalers with `behavior`, and reuses entries older than the longest period.
    pub(super) fn record_rescale(&mut self, behavior: Option<&Behavior>, from: i32, to: i32, now: Timestamp) {
        let Some(behavior) = behavior else { return };
        let (events, rules, change) = if to > from {
            (&mut self.scale_up_events, &behavior.scale_up, to - from)
        } else {
            (&mut self.scale_down_events, &behavior.scale_down, from - to)
        };
        let longest = rules.policies.iter().map(|policy| policy.period).max().unwrap_or(Millis::ZERO);
        let cutoff = now - longest;
        let mut reusable = None;
        for (index, event) in events.iter_mut().enumerate() {
            event.outdated |= event.at < cutoff;
            if event.outdated {
                reusable = Some(index);
            }
        }
        let event = ScaleEvent { change, at: now, outdated: false };
        match reusable {
            Some(index) => events[index] = event,
            None => events.push(event),
        }
    }
}
