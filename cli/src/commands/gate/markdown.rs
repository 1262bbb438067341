//! The comparison as a comment of a pull request, and for a terminal.

use super::Report;
use crate::tune::search::Score;

type Figure = (&'static str, fn(&Score) -> f64, usize);

const FIGURES: [Figure; 6] = [
    ("cost, $ a month", |score| score.usd_month, 2),
    ("p50, ms", |score| score.p50_ms, 1),
    ("p95, ms", |score| score.p95_ms, 1),
    ("p99, ms", |score| score.p99_ms, 1),
    ("errors, %", |score| score.errors * 100.0, 4),
    ("minutes missed", |score| score.slo_missed_minutes, 0),
];

pub(super) fn render(report: &Report) -> String {
    let [base, head] = &report.revisions;
    let mut lines = vec![
        format!("### Autoscaling gate: {}", if report.holds() { "holds ✅" } else { "**breaks** ❌" }),
        String::new(),
        format!("{:.1} hours of traffic, simulated with the deciding code of the live controllers.", hours(report)),
        String::new(),
        format!("| | `{base}` | `{head}` | difference |"),
        "| --- | ---: | ---: | ---: |".to_owned(),
    ];
    for (name, of, decimals) in FIGURES {
        let (old, new) = (of(&report.scores[0]), of(&report.scores[1]));
        lines.push(format!("| {name} | {old:.decimals$} | {new:.decimals$} | {:+.decimals$} |", new - old));
    }
    lines.push(String::new());
    lines.extend(checks(report).into_iter().map(|line| format!("- {line}")));
    lines.join("\n") + "\n"
}

pub(super) fn text(report: &Report) -> String {
    let [base, head] = &report.revisions;
    let mut lines = vec![format!("{:<18}{:>16}{:>16}{:>12}", "", short(base), short(head), "difference")];
    for (name, of, decimals) in FIGURES {
        let (old, new) = (of(&report.scores[0]), of(&report.scores[1]));
        lines.push(format!("{name:<18}{old:>16.decimals$}{new:>16.decimals$}{:>+12.decimals$}", new - old));
    }
    lines.push(String::new());
    lines.extend(checks(report));
    lines.push(if report.holds() { "It holds.".to_owned() } else { "It does not hold.".to_owned() });
    lines.join("\n")
}

fn checks(report: &Report) -> Vec<String> {
    let of = |check: &super::Check| {
        let (verdict, sign) = if check.holds() { ("holds", "within") } else { ("breaks", "above") };
        format!(
            "{verdict}: {} {:.4} {} is {sign} {:.4} {}",
            check.name, check.head, check.unit, check.limit, check.unit
        )
    };
    report.checks.iter().map(of).collect()
}

fn hours(report: &Report) -> f64 {
    report.seconds as f64 / 3600.0
}

fn short(revision: &str) -> String {
    if revision.chars().count() <= 15 {
        revision.to_owned()
    } else {
        revision.chars().take(14).chain(['…']).collect()
    }
}
