//! The search: a beam that moves one setting at a time, over settings that a closure scores.
//!
//! Deterministic whatever the number of threads: every candidate of a round is scored before any of them is compared, and ties
//! go to the candidate that comes first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::space::{Candidate, Space};

/// What a simulation of a candidate came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    pub usd_month: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    /// Failed requests of all, 0 to 1.
    pub errors: f64,
    pub slo_missed_minutes: f64,
}

/// What a candidate must keep to be worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub p99_ms: f64,
    pub errors: f64,
    pub slo_missed_minutes: f64,
}

impl Limits {
    /// Nothing may get worse than it is.
    pub fn of(score: &Score) -> Limits {
        Limits { p99_ms: score.p99_ms, errors: score.errors, slo_missed_minutes: score.slo_missed_minutes }
    }

    /// By how much the limits are exceeded, as a sum of shares; 0 where all are kept.
    pub fn excess(&self, score: &Score) -> f64 {
        // Below these, a difference is not one that anybody would notice.
        let share = |value: f64, limit: f64, least: f64| ((value - limit) / limit.max(least)).max(0.0);
        share(score.p99_ms, self.p99_ms, 1.0)
            + share(score.errors, self.errors, 1e-6)
            + share(score.slo_missed_minutes, self.slo_missed_minutes, 1.0)
    }
}

/// A candidate with its score.
pub type Scored = (Candidate, Score);

pub struct Search<'a> {
    pub space: &'a Space,
    pub limits: Limits,
    /// `None`: the platform refuses the settings.
    pub score: &'a (dyn Fn(&Candidate) -> Option<Score> + Sync),
    pub jobs: usize,
    /// Simulations at the most.
    pub evaluations: usize,
    /// Told the number of simulations so far and the cheapest acceptable cost.
    pub progress: &'a (dyn Fn(usize, Option<f64>) + Sync),
}

/// How many candidates of a round the next one starts from.
const BEAM: usize = 4;

pub struct Found {
    /// Every candidate that was simulated.
    pub scored: BTreeMap<Candidate, Score>,
    /// Candidates that the platform refuses.
    pub refused: usize,
}

impl Search<'_> {
    /// Starts from the settings as they are.
    pub fn run(&self, start: Scored) -> Found {
        let mut beam = vec![start.0.clone()];
        let mut scored = BTreeMap::from([start]);
        let mut seen: BTreeMap<Candidate, bool> = scored.keys().map(|known| (known.clone(), true)).collect();
        loop {
            let mut round: Vec<Candidate> = beam.iter().flat_map(|from| self.space.neighbours(from)).collect();
            round.sort();
            round.dedup();
            round.retain(|candidate| !seen.contains_key(candidate));
            round.truncate(self.evaluations.saturating_sub(seen.len()));
            if round.is_empty() {
                break;
            }
            for (candidate, score) in round.iter().zip(parallel(&round, self.jobs, self.score)) {
                seen.insert(candidate.clone(), score.is_some());
                scored.extend(score.map(|score| (candidate.clone(), score)));
            }
            let next = self.best(&scored);
            (self.progress)(seen.len(), self.cheapest(&scored));
            if next == beam {
                break;
            }
            beam = next;
        }
        Found { refused: seen.values().filter(|taken| !**taken).count(), scored }
    }

    fn best(&self, scored: &BTreeMap<Candidate, Score>) -> Vec<Candidate> {
        let mut all: Vec<(&Candidate, &Score)> = scored.iter().collect();
        all.sort_by(|a, b| self.compare(a.1, b.1));
        all.into_iter().take(BEAM).map(|(candidate, _)| candidate.clone()).collect()
    }

    fn compare(&self, a: &Score, b: &Score) -> Ordering {
        let excess = self.limits.excess(a).total_cmp(&self.limits.excess(b));
        excess.then(a.usd_month.total_cmp(&b.usd_month)).then(a.p99_ms.total_cmp(&b.p99_ms))
    }

    fn cheapest(&self, scored: &BTreeMap<Candidate, Score>) -> Option<f64> {
        let kept = scored.values().filter(|score| self.limits.excess(score) == 0.0);
        kept.map(|score| score.usd_month).min_by(f64::total_cmp)
    }
}

impl Found {
    /// Those that keep the limits and cost less than `usd_month`, the cheapest first.
    pub fn cheaper(&self, limits: &Limits, usd_month: f64) -> Vec<Scored> {
        let kept = self.scored.iter().filter(|(_, s)| limits.excess(s) == 0.0 && s.usd_month < usd_month);
        let mut kept: Vec<Scored> = kept.map(|(candidate, score)| (candidate.clone(), *score)).collect();
        kept.sort_by(|a, b| a.1.usd_month.total_cmp(&b.1.usd_month).then(a.1.p99_ms.total_cmp(&b.1.p99_ms)));
        kept
    }

    /// The frontier of cost against p99: nothing that was simulated is both cheaper and faster.
    pub fn frontier(&self) -> Vec<Scored> {
        let mut all: Vec<Scored> = self.scored.iter().map(|(candidate, score)| (candidate.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.usd_month.total_cmp(&b.1.usd_month).then(a.1.p99_ms.total_cmp(&b.1.p99_ms)));
        let mut best = f64::INFINITY;
        all.retain(|(_, score)| {
            let better = score.p99_ms < best;
            best = best.min(score.p99_ms);
            better
        });
        all
    }
}

/// `work` of every item, in the order of the items.
pub fn parallel<T: Sync, R: Send>(items: &[T], jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, item)) =
                    Some(next.fetch_add(1, Atomic::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
                {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tune::space::Dimension;

    fn space() -> Space {
        let values = |n: i64| (1..=n).map(|value| json!(value)).collect();
        Space {
            dimensions: vec![
                Dimension { path: "a".into(), values: values(9), current: 8, ordered: true },
                Dimension { path: "b".into(), values: values(5), current: 0, ordered: true },
            ],
        }
    }

    /// Costs fall with `a` and rise with `b`; p99 the other way round. `a` = 3 is refused.
    fn score(candidate: &Candidate) -> Option<Score> {
        let (a, b) = (candidate.0[0] as f64 + 1.0, candidate.0[1] as f64 + 1.0);
        (candidate.0[0] != 2).then(|| Score {
            usd_month: 10.0 * a + 5.0 * b,
            p99_ms: 1000.0 / (a + 3.0 * b),
            ..Score::default()
        })
    }

    fn run(jobs: usize) -> Found {
        let space = space();
        let start = space.current();
        let base = score(&start).unwrap();
        let search = Search {
            space: &space,
            limits: Limits::of(&base),
            score: &score,
            jobs,
            evaluations: 1000,
            progress: &|_, _| {},
        };
        search.run((start, base))
    }

    #[test]
    fn the_cheapest_that_keeps_the_limits_is_found_with_any_number_of_threads() {
        let found = run(1);
        let limits = Limits::of(&score(&space().current()).unwrap());
        let best = found.cheaper(&limits, 95.0);
        // 12 = a + 3b is what the start has; b is cheaper for speed than a.
        assert_eq!(best[0].0, Candidate(vec![0, 3]));
        assert_eq!(run(3).scored, found.scored);
        assert!(found.refused > 0);
    }

    #[test]
    fn nothing_on_the_frontier_is_beaten() {
        let found = run(2);
        let frontier = found.frontier();
        assert!(frontier.len() > 1);
        for (_, score) in &frontier {
            let beaten = found.scored.values().any(|o| o.usd_month < score.usd_month && o.p99_ms <= score.p99_ms);
            assert!(!beaten, "{score:?}");
        }
    }

    #[test]
    fn excess_counts_only_what_is_over_the_limit() {
        let limits = Limits { p99_ms: 100.0, errors: 0.0, slo_missed_minutes: 10.0 };
        let score = |p99_ms: f64, errors: f64, slo_missed_minutes: f64| Score {
            usd_month: 1.0,
            p99_ms,
            errors,
            slo_missed_minutes,
            ..Score::default()
        };
        assert_eq!(limits.excess(&score(100.0, 0.0, 10.0)), 0.0);
        assert_eq!(limits.excess(&score(150.0, 0.0, 5.0)), 0.5);
        assert!(limits.excess(&score(100.0, 0.001, 10.0)) > 1.0);
    }
}
