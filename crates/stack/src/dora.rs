//! The four DORA metrics ("Accelerate"; dora.dev, "DORA's software delivery metrics") from the record of deployments.
//!
//! What counts, so that figures can be worked out by hand:
//! - a *deployment* is one run of `marea up` that changed a stack or failed trying, however many stacks it changed;
//! - *frequency* is the successful ones of the window by its days;
//! - the *lead time* of a commit is from its committer's date to the end of the first successful deployment that holds it;
//! - a deployment *failed* when it says so, or when the next successful one went back to a commit that had been deployed before it;
//! - *recovery* is from the end of the first failed deployment to the end of the next successful one, or until the last release
//!   was back where the run put it back itself.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::history::Entry;

/// A commit as git knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    /// The committer's date.
    pub at: Timestamp,
}

/// The time that is looked at: from `days` before `until` to `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub until: Timestamp,
    pub days: u32,
}

impl Window {
    pub fn from(&self) -> Timestamp {
        self.until.saturating_sub(SignedDuration::from_hours(24 * i64::from(self.days))).unwrap_or(Timestamp::MIN)
    }

    fn holds(&self, at: Timestamp) -> bool {
        at > self.from() && at <= self.until
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    pub deployment_frequency: Frequency,
    pub lead_time: LeadTime,
    pub change_failure_rate: FailureRate,
    pub recovery_time: Recovery,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frequency {
    pub deployments: usize,
    pub per_day: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadTime {
    pub commits: usize,
    /// Absent without a commit whose date is known.
    pub median_seconds: Option<f64>,
    /// Successful deployments of the window whose commits git did not tell, or that were made outside a repository.
    pub deployments_without_commits: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRate {
    pub failed: usize,
    /// All that came to an end, failed or not.
    pub deployments: usize,
    /// 0 to 1; absent without a deployment.
    pub ratio: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// Failures of the window that were recovered from.
    pub recovered: usize,
    pub median_seconds: Option<f64>,
    /// Since when the last failure waits for a successful deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeded,
    /// It succeeded, and the next success went back to an earlier commit.
    TakenBack,
    Failed,
    /// It failed, and put the last release back itself within this time.
    RolledBack(SignedDuration),
}

/// One run of `marea up`.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    /// Its end.
    at: Timestamp,
    commit: Option<String>,
    fate: Fate,
}

impl Run {
    /// Whether it was deployed, whatever became of it later.
    fn was_deployed(&self) -> bool {
        matches!(self.fate, Fate::Succeeded | Fate::TakenBack)
    }
}

/// `entries` in any order; entries before the window are needed too, because they say what was deployed already.
/// `commits(before, now)` gives the commits that `now` holds and `before` does not (only `now` itself when there was no deployment
/// before), or nothing when git does not know them.
pub fn measure(
    entries: &[Entry],
    window: Window,
    mut commits: impl FnMut(Option<&str>, &str) -> Option<Vec<Commit>>,
) -> Metrics {
    let mut runs = runs(entries);
    runs.retain(|run| run.at <= window.until);
    mark_taken_back(&mut runs);
    let seen: Vec<&Run> = runs.iter().filter(|run| window.holds(run.at)).collect();
    let failed = seen.iter().filter(|run| run.fate != Fate::Succeeded).count();
    let deployments = seen.iter().filter(|run| run.was_deployed()).count();
    Metrics {
        deployment_frequency: Frequency {
            deployments,
            per_day: ratio(deployments, window.days as usize).unwrap_or(0.0),
        },
        lead_time: lead_time(&runs, window, &mut commits),
        change_failure_rate: FailureRate { failed, deployments: seen.len(), ratio: ratio(failed, seen.len()) },
        recovery_time: recovery(&runs, window),
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The oldest first. Entries of one run end with its last; it failed if any of them did.
fn runs(entries: &[Entry]) -> Vec<Run> {
    let mut ordered: Vec<(Timestamp, &Entry)> =
        entries.iter().filter_map(|entry| Some((entry.time()?, entry))).collect();
    ordered.sort_by_key(|(at, entry)| (*at, entry.stack.clone()));
    let mut runs: Vec<(Option<&str>, Run)> = Vec::new();
    for (at, entry) in ordered {
        let fate = match (entry.state.as_str(), entry.restored_ms) {
            ("Succeeded", _) => Fate::Succeeded,
            (_, Some(ms)) => Fate::RolledBack(SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))),
            (_, None) => Fate::Failed,
        };
        let same = runs.iter_mut().find(|(id, _)| id.is_some() && *id == entry.run.as_deref());
        if let Some((_, run)) = same {
            run.at = run.at.max(at);
            if run.fate == Fate::Succeeded {
                run.fate = fate;
            }
            continue;
        }
        let run = Run { at, commit: entry.commit.clone(), fate };
        runs.push((entry.run.as_deref(), run));
    }
    let mut runs: Vec<Run> = runs.into_iter().map(|(_, run)| run).collect();
    runs.sort_by_key(|run| run.at);
    runs
}

fn mark_taken_back(runs: &mut [Run]) {
    let successes: Vec<usize> = (0..runs.len()).filter(|index| runs[*index].was_deployed()).collect();
    let mut earlier: BTreeSet<String> = BTreeSet::new();
    for pair in successes.windows(2) {
        let (this, next) = (runs[pair[0]].commit.clone(), runs[pair[1]].commit.clone());
        if let (Some(this), Some(next)) = (&this, &next)
            && this != next
            && earlier.contains(next)
        {
            runs[pair[0]].fate = Fate::TakenBack;
        }
        earlier.extend(this);
    }
}

fn lead_time(
    runs: &[Run],
    window: Window,
    commits: &mut impl FnMut(Option<&str>, &str) -> Option<Vec<Commit>>,
) -> LeadTime {
    let mut before: Option<&str> = None;
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut seconds = Vec::new();
    let mut untold = 0;
    for run in runs.iter().filter(|run| run.was_deployed()) {
        let Some(commit) = run.commit.as_deref() else {
            untold += usize::from(window.holds(run.at));
            continue;
        };
        if before == Some(commit) {
            continue;
        }
        match commits(before, commit) {
            Some(found) => {
                for new in found {
                    // A clock that runs ahead makes no lead time below nothing.
                    if known.insert(new.id) && window.holds(run.at) {
                        seconds.push(run.at.duration_since(new.at).as_secs_f64().max(0.0));
                    }
                }
            }
            None => untold += usize::from(window.holds(run.at)),
        }
        before = Some(commit);
    }
    LeadTime { commits: seconds.len(), median_seconds: median(&mut seconds), deployments_without_commits: untold }
}

fn recovery(runs: &[Run], window: Window) -> Recovery {
    let mut open: Option<Timestamp> = None;
    let mut seconds = Vec::new();
    let mut recovered = |since: Timestamp, took: SignedDuration| {
        if window.holds(since) {
            seconds.push(took.as_secs_f64());
        }
    };
    for run in runs {
        match (run.fate, open) {
            (Fate::Failed, _) => open = open.or(Some(run.at)),
            (Fate::RolledBack(took), None) => recovered(run.at, took),
            // Also what is taken back later ends what was broken before it.
            (_, since) => {
                if let Some(since) = since {
                    recovered(since, run.at.duration_since(since));
                }
                open = (run.fate == Fate::TakenBack).then_some(run.at);
            }
        }
    }
    Recovery {
        recovered: seconds.len(),
        median_seconds: median(&mut seconds),
        open_since: open.filter(|since| window.holds(*since)),
    }
}

/// Of an even number, the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
