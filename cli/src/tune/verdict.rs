//! From what the search found to what is recommended: only what also holds on traffic that the search did not see, and when
//! things go wrong.

use serde_json::{Value, json};

use super::search::{Found, Limits, Score, parallel};
use super::space::{Candidate, Space};
use crate::planned::Override;

/// A candidate's scores on the three windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// Seen by the search.
    pub seen: Score,
    pub held_back: Score,
    /// The held-back part again, with faults.
    pub faults: Score,
}

pub struct Verdict {
    pub today: Tried,
    pub best: Option<(Vec<Override>, Tried)>,
    /// Candidates that kept the limits on what the search saw and failed afterwards, with the reason.
    pub failed: Vec<(Vec<Override>, String)>,
}

/// How many of the cheapest candidates are tried on the held-back part before the search counts as fruitless.
const TRIES: usize = 24;

/// `score(candidate, with faults)` on the held-back part.
pub fn judge(
    space: &Space,
    found: &Found,
    limits: &Limits,
    today: Tried,
    jobs: usize,
    score: &(dyn Fn(&Candidate, bool) -> Option<Score> + Sync),
) -> Verdict {
    let missed = limits.excess(&today.seen) > 0.0;
    // Where today's settings miss what is asked for, whatever keeps it is better, also at a higher price.
    let promising = found.cheaper(limits, if missed { f64::INFINITY } else { today.seen.usd_month });
    let mut failed = Vec::new();
    for group in promising[..promising.len().min(TRIES)].chunks(jobs.max(1)) {
        let tried = parallel(group, jobs, |(candidate, _)| (score(candidate, false), score(candidate, true)));
        for ((candidate, seen), (held_back, faults)) in group.iter().zip(tried) {
            let overrides = space.overrides(candidate);
            let (Some(held_back), Some(faults)) = (held_back, faults) else { continue };
            let tried = Tried { seen: *seen, held_back, faults };
            match if missed { unkept(limits, &tried) } else { reason_against(&today, &tried) } {
                None => return Verdict { today, best: Some((overrides, tried)), failed },
                Some(reason) => failed.push((overrides, reason)),
            }
        }
    }
    Verdict { today, best: None, failed }
}

/// Why the candidate does not keep what is asked for where it counts. Faults are not held against it: today's settings do
/// not even carry the traffic without them.
fn unkept(limits: &Limits, tried: &Tried) -> Option<String> {
    (limits.excess(&tried.held_back) > 0.0).then(|| {
        format!(
            "on the held-back traffic p99 is {:.0} ms, errors {:.4} %",
            tried.held_back.p99_ms,
            tried.held_back.errors * 100.0
        )
    })
}

/// Why the candidate is not better than today where it counts.
fn reason_against(today: &Tried, tried: &Tried) -> Option<String> {
    let held_back = Limits::of(&today.held_back);
    if tried.held_back.usd_month >= today.held_back.usd_month {
        return Some("costs as much on the held-back traffic".to_owned());
    }
    if held_back.excess(&tried.held_back) > 0.0 {
        return Some(format!(
            "on the held-back traffic p99 is {:.0} ms instead of {:.0} ms, errors {:.4} % instead of {:.4} %, {} minutes missed instead of {}",
            tried.held_back.p99_ms,
            today.held_back.p99_ms,
            tried.held_back.errors * 100.0,
            today.held_back.errors * 100.0,
            tried.held_back.slo_missed_minutes,
            today.held_back.slo_missed_minutes,
        ));
    }
    let faults = Limits::of(&today.faults);
    (faults.excess(&tried.faults) > 0.0).then(|| {
        format!(
            "under faults p99 is {:.0} ms instead of {:.0} ms, errors {:.4} % instead of {:.4} %",
            tried.faults.p99_ms,
            today.faults.p99_ms,
            tried.faults.errors * 100.0,
            today.faults.errors * 100.0
        )
    })
}

impl Tried {
    pub fn json(&self) -> Value {
        json!({"seen": self.seen, "heldBack": self.held_back, "faults": self.faults})
    }
}

/// `{"path": value}`, as a scenario's `set` takes it.
pub fn set_json(overrides: &[Override]) -> Value {
    Value::Object(overrides.iter().map(|change| (change.path.clone(), change.value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tune::space::Dimension;

    fn score(usd_month: f64, p99_ms: f64) -> Score {
        Score { usd_month, p99_ms, ..Score::default() }
    }

    /// Three candidates that look cheaper; the held-back part and the faults say which of them are.
    fn check(held_back: [f64; 4], faults: [f64; 4], expected: Option<usize>, failed: usize) {
        let values = (0..4).map(Value::from).collect();
        let space = Space { dimensions: vec![Dimension { path: "a".into(), values, current: 0, ordered: true }] };
        let today =
            Tried { seen: score(100.0, 50.0), held_back: score(100.0, held_back[0]), faults: score(100.0, faults[0]) };
        let scored: BTreeMap<_, _> =
            (0..4).map(|i| (Candidate(vec![i]), score(100.0 - 10.0 * i as f64, 50.0))).collect();
        let found = Found { scored, refused: 0 };
        let outcome = judge(&space, &found, &Limits::of(&today.seen), today, 2, &|candidate, with_faults| {
            let index = candidate.0[0];
            Some(score(100.0 - 10.0 * index as f64, if with_faults { faults[index] } else { held_back[index] }))
        });
        assert_eq!(outcome.best.map(|(set, _)| set[0].value.as_u64().unwrap() as usize), expected);
        assert_eq!(outcome.failed.len(), failed);
    }

    #[test]
    fn where_today_misses_the_objective_the_cheapest_that_keeps_it_is_recommended() {
        let values = (0..4).map(Value::from).collect();
        let space = Space { dimensions: vec![Dimension { path: "a".into(), values, current: 0, ordered: true }] };
        let slow = score(100.0, 30_000.0);
        let today = Tried { seen: slow, held_back: slow, faults: slow };
        // Each next one costs 10 more and is faster; the second keeps 300 ms on the searched part only.
        let p99 = [30_000.0, 400.0, 290.0, 200.0];
        let scored: BTreeMap<_, _> =
            (0..4).map(|i| (Candidate(vec![i]), score(100.0 + 10.0 * i as f64, p99[i]))).collect();
        let found = Found { scored, refused: 0 };
        let limits = Limits { p99_ms: 300.0, errors: 0.001, slo_missed_minutes: 0.0 };
        let held_back = [30_000.0, 400.0, 310.0, 210.0];
        let outcome = judge(&space, &found, &limits, today, 2, &|candidate, _| {
            let index = candidate.0[0];
            Some(score(100.0 + 10.0 * index as f64, held_back[index]))
        });
        let (set, tried) = outcome.best.expect("the last one holds");
        assert_eq!((set[0].value.as_u64(), tried.held_back.usd_month), (Some(3), 130.0));
        assert_eq!(outcome.failed.len(), 1);
    }

    #[test]
    fn the_cheapest_that_holds_everywhere_is_recommended() {
        check([50.0; 4], [80.0; 4], Some(3), 0);
        check([50.0, 50.0, 50.0, 51.0], [80.0; 4], Some(2), 1);
        check([50.0, 50.0, 50.0, 51.0], [80.0, 80.0, 81.0, 80.0], Some(1), 2);
        check([50.0, 60.0, 60.0, 60.0], [80.0; 4], None, 3);
    }
}
