//! The recommendation for people.

use std::path::Path;

use super::Report;
use crate::planned::Override;
use crate::tune::search::Score;

/// Rows of the frontier that are shown.
const FRONTIER: usize = 10;

pub(super) fn render(report: &Report<'_>, patch: Option<&Path>) -> String {
    let mut lines = vec![format!(
        "{} settings simulated on the first {}, {} refused; the last {} were held back.",
        report.simulated,
        days(report.windows.seen.length().0),
        report.refused,
        days(report.windows.held_back.length().0)
    )];
    lines.push(String::new());
    lines.push(row("", ["$/month", "p99 ms", "errors %", "missed min"].map(str::to_owned)));
    let today = &report.verdict.today;
    let parts = |name: &str, scores: [&Score; 3]| {
        ["searched", "held back", "with faults"]
            .into_iter()
            .zip(scores)
            .map(|(part, score)| row(&format!("{name}, {part}"), cells(score)))
            .collect::<Vec<_>>()
    };
    lines.extend(parts("today", [&today.seen, &today.held_back, &today.faults]));
    match &report.verdict.best {
        Some((overrides, tried)) => {
            lines.extend(parts("better", [&tried.seen, &tried.held_back, &tried.faults]));
            lines.push(String::new());
            let saved = today.held_back.usd_month - tried.held_back.usd_month;
            let share = saved / today.held_back.usd_month * 100.0;
            lines.push(if saved > 0.0 && report.limits.excess(&today.seen) == 0.0 {
                format!("Saves {saved:.2} $ a month ({share:.0} %) at no worse latency, errors or missed minutes:")
            } else if saved > 0.0 {
                format!("Keeps what today's settings miss, and saves {saved:.2} $ a month ({share:.0} %):")
            } else {
                format!("Keeps what today's settings miss, for {:.2} $ a month more ({:.0} %):", -saved, -share)
            });
            lines.extend(overrides.iter().map(|change| format!("  {} = {}", change.path, plain(change))));
            lines.push(String::new());
            lines.push(match patch {
                Some(file) => format!("`git apply {}` puts it into the files; then `marea preview`.", file.display()),
                None => "`--patch FILE` writes it as a patch of the stacks' files.".to_owned(),
            });
        }
        None => {
            lines.push(String::new());
            lines.push(nothing(report));
        }
    }
    lines.push(String::new());
    lines.push("What cost buys on the searched part (nothing simulated is both cheaper and faster):".to_owned());
    lines.extend(frontier(report));
    lines.join("\n")
}

fn nothing(report: &Report<'_>) -> String {
    match report.verdict.failed.first() {
        None if report.limits.excess(&report.verdict.today.seen) > 0.0 => {
            "Nothing was found that keeps what is asked for; today's settings do not keep it either.".to_owned()
        }
        None => "Nothing better was found: no settings that cost less keep what today's keep.".to_owned(),
        Some((_, reason)) => format!(
            "Nothing better was found: {} settings looked cheaper on the searched part and did not hold afterwards; the cheapest {reason}.",
            report.verdict.failed.len()
        ),
    }
}

fn frontier(report: &Report<'_>) -> Vec<String> {
    let step = report.frontier.len().div_ceil(FRONTIER).max(1);
    let shown = report.frontier.iter().step_by(step);
    shown
        .map(|(overrides, score)| {
            let set: Vec<String> =
                overrides.iter().map(|change| format!("{}={}", change.path, plain(change))).collect();
            let set = if set.is_empty() { "today's".to_owned() } else { set.join(" ") };
            format!("  {:>9.2} $  {:>8.1} ms  {set}", score.usd_month, score.p99_ms)
        })
        .collect()
}

fn cells(score: &Score) -> [String; 4] {
    [
        format!("{:.2}", score.usd_month),
        format!("{:.1}", score.p99_ms),
        format!("{:.4}", score.errors * 100.0),
        format!("{:.0}", score.slo_missed_minutes),
    ]
}

fn row(name: &str, cells: [String; 4]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>13}")).collect();
    format!("{name:<22}{}", cells.join(""))
}

fn plain(change: &Override) -> String {
    change.value.as_str().map_or_else(|| change.value.to_string(), str::to_owned)
}

fn days(milliseconds: i64) -> String {
    let hours = milliseconds as f64 / 3_600_000.0;
    if hours < 48.0 { format!("{hours:.1} hours") } else { format!("{:.1} days", hours / 24.0) }
}
