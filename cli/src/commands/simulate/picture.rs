//! The outcome on a terminal: a few lines that can be taken in at once.

use simulate::{Line, LineKind, Minute, Outcome, Spread};

use super::Inputs;

/// Columns of a sparkline.
const WIDTH: usize = 64;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Moves that are explained.
const MOVES: usize = 6;

pub fn draw(inputs: &Inputs, outcome: &Outcome, cost: Option<Spread>) -> String {
    let mut lines = vec![
        format!("{} ({}), {} from seed {}", inputs.title, inputs.environment, span(outcome.duration.0), outcome.seed),
        String::new(),
    ];
    let minutes = &outcome.minutes;
    lines.push(row(
        "load",
        minutes,
        |minute| minute.requests / 60.0,
        |peak| format!("up to {} requests/s", number(peak)),
    ));
    for (index, (name, seen)) in outcome.replicas.iter().enumerate() {
        let text = format!("{} to {}, {:.1} on average", seen.min, seen.max, seen.mean);
        lines.push(row(&format!("{name} pods"), minutes, |minute| minute.replicas[index] as f32, |_| text.clone()));
    }
    for (index, pool) in inputs.scenario.platform.pools.iter().enumerate() {
        let hours = outcome.node_millis.get(&pool.name).map_or(0.0, |millis| *millis as f64 / 3.6e6);
        let text = format!("{hours:.1} node hours");
        lines.push(row(
            &format!("{} nodes", pool.name),
            minutes,
            |minute| minute.nodes[index] as f32,
            |_| text.clone(),
        ));
    }
    lines.push(row("p99", minutes, |minute| minute.p99, |peak| format!("up to {}", seconds(f64::from(peak)))));
    lines.push(row("$ an hour", minutes, |minute| minute.usd_hour, |peak| format!("up to ${peak:.3}")));
    lines.push(String::new());
    lines.extend(sums(inputs, outcome, cost));
    lines.extend(moves(outcome));
    for (at, text) in outcome.notes.iter().take(MOVES) {
        lines.push(format!("  {:>11}  {text}", clock(*at)));
    }
    if !outcome.pending.is_empty() {
        lines.push(format!("At the end {} pods had no node: {}", outcome.pending.len(), shortened(&outcome.pending)));
    }
    lines.join("\n")
}

fn sums(inputs: &Inputs, outcome: &Outcome, cost: Option<Spread>) -> Vec<String> {
    let share = if outcome.requests > 0.0 { 100.0 * outcome.failed / outcome.requests } else { 0.0 };
    let latency = outcome.latency.map_or_else(
        || "no request was answered".to_owned(),
        |latency| format!("p50 {}, p95 {}, p99 {}", seconds(latency.p50), seconds(latency.p95), seconds(latency.p99)),
    );
    let mut lines = vec![
        format!(
            "requests    {}, of which {} failed ({share:.3} %)",
            number(outcome.requests as f32),
            number(outcome.failed as f32)
        ),
        format!("latency     {latency}"),
    ];
    let objective = &inputs.scenario.objective;
    if [objective.p50, objective.p95, objective.p99, objective.errors].iter().any(Option::is_some) {
        let all = outcome.duration.0 / 60_000;
        lines.push(format!("objective   missed in {} of {all} minutes", outcome.slo_missed_minutes));
    }
    lines.push(match (cost, &outcome.usd_month) {
        (Some(cost), _) if (cost.p95 - cost.p5) >= 0.01 => {
            format!("cost        ${:.2} a month ($ {:.2} to {:.2} from seed to seed)", cost.p50, cost.p5, cost.p95)
        }
        (Some(cost), _) => format!("cost        ${:.2} a month", cost.p50),
        (None, Err(reason)) => format!("cost        not known: {reason}"),
        (None, Ok(_)) => "cost        not known".to_owned(),
    });
    lines.push(format!("decisions   {}", outcome.decisions));
    lines
}

/// The largest changes, in the order of time, with why they were made.
fn moves(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<&Line> = outcome
        .timeline
        .iter()
        .filter(|line| matches!(line.kind, LineKind::Hpa | LineKind::Pool | LineKind::Fault))
        .collect();
    let size = |line: &Line| if line.kind == LineKind::Fault { i32::MAX } else { (line.to - line.from).abs() };
    lines.sort_by_key(|line| (std::cmp::Reverse(size(line)), line.at));
    lines.truncate(MOVES);
    if lines.is_empty() {
        return Vec::new();
    }
    lines.sort_by_key(|line| line.at);
    let mut out = vec![String::new(), "largest moves".to_owned()];
    for line in lines {
        out.push(format!("  {:>11}  {:<18} {}", clock(line.at.0), line.object, line.summary));
        if let Some(reason) = line.value["report"]["reasons"][0]["text"].as_str() {
            out.push(format!("  {:>11}  {:<18} {reason}", "", ""));
        }
    }
    out
}

fn row(name: &str, minutes: &[Minute], value: impl Fn(&Minute) -> f32, words: impl Fn(f32) -> String) -> String {
    let peak = minutes.iter().map(&value).fold(0.0, f32::max);
    format!("{name:<18} {} {}", spark(minutes, value, peak), words(peak))
}

/// The highest value of each column's minutes.
fn spark(minutes: &[Minute], value: impl Fn(&Minute) -> f32, peak: f32) -> String {
    let columns = WIDTH.min(minutes.len()).max(1);
    let column = |index: usize| {
        let (from, to) = (
            index * minutes.len() / columns,
            ((index + 1) * minutes.len() / columns).max(index * minutes.len() / columns + 1),
        );
        let highest =
            minutes.get(from..to.min(minutes.len())).unwrap_or_default().iter().map(&value).fold(0.0, f32::max);
        let level = if peak > 0.0 { (highest / peak * 7.0).round() as usize } else { 0 };
        BARS[level.min(7)]
    };
    (0..columns).map(column).collect()
}

/// `2d 14:03:15`
pub fn clock(at: i64) -> String {
    let total = at.div_euclid(1000);
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    if days > 0 {
        format!("{days}d {hours:02}:{minutes:02}:{seconds:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }
}

fn span(millis: i64) -> String {
    let minutes = millis / 60_000;
    match minutes {
        0..=119 => format!("{minutes} minutes"),
        120..=2879 => format!("{} hours", minutes as f64 / 60.0),
        _ => format!("{:.1} days", minutes as f64 / 1440.0),
    }
}

pub fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{:.1} ms", 1000.0 * value) } else { format!("{value:.2} s") }
}

/// Three figures, with k, M or G.
pub fn number(value: f32) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let decimals = if unit.is_empty() && value.fract() == 0.0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}{unit}")
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let check = |seen: String, expected: &str| assert_eq!(seen, expected);
        check(number(0.0), "0");
        check(number(12.34), "12.3");
        check(number(5.0), "5");
        check(number(360_000.0), "360k");
        check(number(1_234_567.0), "1.23M");
        check(clock(93_795_000), "1d 02:03:15");
        check(clock(50_580_000), "14:03:00");
        check(seconds(0.01234), "12.3 ms");
        check(span(3_600_000), "60 minutes");
        check(span(30 * 86_400_000), "30.0 days");
    }

    #[test]
    fn a_sparkline_has_the_highest_of_each_column() {
        let minute = |requests: f32| Minute { requests, ..Minute::default() };
        let minutes: Vec<Minute> = (0..128).map(|index| minute(if index == 64 { 7.0 } else { 0.0 })).collect();
        let line = spark(&minutes, |minute| minute.requests, 7.0);
        assert_eq!((line.chars().count(), line.chars().nth(32)), (64, Some('█')));
        assert_eq!(spark(&[], |minute| minute.requests, 0.0), "▁");
    }
}
