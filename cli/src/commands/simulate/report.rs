//! A page with plots that opens without a network: one file, no scripts from elsewhere.

use std::fmt::Write as _;

use simulate::{Line, LineKind, Minute, Outcome, Spread};

use super::Inputs;
use super::picture::{clock, number, seconds};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 120.0;
/// Points of a curve; more would not be seen.
const POINTS: usize = 960;
/// Decisions that are drawn and listed; the timeline has all.
const MOST_MARKS: usize = 400;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6b7b; --line: #d5dde5; --back: #fbfcfd; --one: #0b6bcb; --two: #b4540a; --three: #2b7a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa8b6; --line: #33404d; --back: #10161c; --one: #6cb2ff; --two: #f0a868; --three: #7fce93; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .2rem; } p { margin: .2rem 0; color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; margin: 1rem 0; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; border-bottom: 1px solid var(--line); }
.c0 { stroke: var(--one); } .c1 { stroke: var(--two); } .c2 { stroke: var(--three); }
polyline { fill: none; stroke-width: 1.5; } text { fill: var(--soft); font-size: 11px; } .grid { stroke: var(--line); stroke-width: 1; }
.missed { fill: var(--bad); opacity: .25; } .mark { stroke: var(--soft); stroke-width: 1; opacity: .45; } .mark:hover { stroke-width: 4; opacity: 1; }
.fault { stroke: var(--bad); opacity: .9; } .key { font-size: .85rem; } .key span::before { content: ''; display: inline-block; width: .8em; height: .2em; vertical-align: middle; margin-right: .4em; background: currentColor; }
.key .k0 { color: var(--one); } .key .k1 { color: var(--two); } .key .k2 { color: var(--three); } .key span { margin-right: 1.2em; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; } td, th { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; } .why { color: var(--soft); } details > summary { cursor: pointer; }
";

/// A curve with its name.
struct Curve<'a> {
    name: String,
    value: Box<dyn Fn(&Minute) -> f32 + 'a>,
}

pub fn page(inputs: &Inputs, outcome: &Outcome, cost: Option<Spread>) -> String {
    let mut page = String::new();
    let title = escaped(&inputs.title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>marea: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{} of <code>stack.{}.yaml</code> from seed {}</p>\n",
        clock(outcome.duration.0),
        escaped(&inputs.environment),
        outcome.seed
    );
    figures(&mut page, outcome, cost);
    let plots = Plots { outcome, marks: marks(outcome) };
    plots.plot(&mut page, "Load", "requests per second", &[one("load", |minute| minute.requests / 60.0)], &number);
    let pods: Vec<Curve<'_>> = outcome
        .replicas
        .keys()
        .enumerate()
        .map(|(index, name)| one(name, move |minute| minute.replicas.get(index).map_or(0.0, |count| *count as f32)))
        .collect();
    plots.plot(&mut page, "Pods", "that the autoscalers ask for", &pods, &number);
    let pools = inputs.scenario.platform.pools.iter().enumerate();
    let nodes: Vec<Curve<'_>> = pools
        .map(|(index, pool)| one(&pool.name, move |minute| minute.nodes.get(index).map_or(0.0, |count| *count as f32)))
        .collect();
    plots.plot(&mut page, "Nodes", "that exist or are on their way", &nodes, &number);
    plots.plot(
        &mut page,
        "Latency",
        "p99 of each minute; shaded where the objective was missed",
        &[one("p99", |minute| minute.p99)],
        &|value| seconds(f64::from(value)),
    );
    plots.plot(&mut page, "Cost", "dollars an hour", &[one("cost", |minute| minute.usd_hour)], &|value| {
        format!("${value:.3}")
    });
    list(&mut page, outcome);
    page.push_str("</body>\n</html>\n");
    page
}

fn one<'a>(name: &str, value: impl Fn(&Minute) -> f32 + 'a) -> Curve<'a> {
    Curve { name: name.to_owned(), value: Box::new(value) }
}

fn figures(page: &mut String, outcome: &Outcome, cost: Option<Spread>) {
    page.push_str("<dl>\n");
    let mut figure = |name: &str, value: String| {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    };
    figure("requests", number(outcome.requests as f32));
    let share = if outcome.requests > 0.0 { 100.0 * outcome.failed / outcome.requests } else { 0.0 };
    figure("failed", format!("{share:.3} %"));
    if let Some(latency) = outcome.latency {
        figure("p50", seconds(latency.p50));
        figure("p95", seconds(latency.p95));
        figure("p99", seconds(latency.p99));
    }
    figure("minutes that missed the objective", outcome.slo_missed_minutes.to_string());
    if let Some(cost) = cost {
        figure("a month", format!("${:.2}", cost.p50));
        figure("from seed to seed", format!("${:.2} to ${:.2}", cost.p5, cost.p95));
    }
    page.push_str("</dl>\n");
}

/// The decisions that are drawn: the largest, in the order of time.
fn marks(outcome: &Outcome) -> Vec<&Line> {
    let mut lines: Vec<&Line> = outcome.timeline.iter().filter(|line| line.kind != LineKind::Pod).collect();
    if lines.len() > MOST_MARKS {
        let size = |line: &Line| if line.kind == LineKind::Fault { i32::MAX } else { (line.to - line.from).abs() };
        lines.sort_by_key(|line| (std::cmp::Reverse(size(line)), line.at));
        lines.truncate(MOST_MARKS);
        lines.sort_by_key(|line| line.at);
    }
    lines
}

struct Plots<'a> {
    outcome: &'a Outcome,
    marks: Vec<&'a Line>,
}

impl Plots<'_> {
    fn plot(&self, page: &mut String, name: &str, unit: &str, curves: &[Curve<'_>], words: &dyn Fn(f32) -> String) {
        let minutes = &self.outcome.minutes;
        let peak =
            curves.iter().flat_map(|curve| minutes.iter().map(|minute| (curve.value)(minute))).fold(0.0, f32::max);
        let _ = write!(page, "<h2>{name}</h2>\n<p>{unit}</p>\n");
        if curves.len() > 1 {
            let keys: String = curves
                .iter()
                .enumerate()
                .map(|(index, curve)| format!("<span class=\"k{}\">{}</span>", index % 3, escaped(&curve.name)))
                .collect();
            let _ = writeln!(page, "<p class=\"key\">{keys}</p>");
        }
        let _ = write!(
            page,
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{name}: up to {}\">\n<line class=\"grid\" x1=\"0\" y1=\"14\" x2=\"{WIDTH}\" y2=\"14\"/>\n<text x=\"2\" y=\"11\">{}</text>\n",
            HEIGHT + 4.0,
            escaped(&words(peak)),
            escaped(&words(peak)),
        );
        if name == "Latency" {
            self.shade(page);
        }
        for (index, curve) in curves.iter().enumerate() {
            let _ = writeln!(page, "<polyline class=\"c{}\" points=\"{}\"/>", index % 3, self.points(curve, peak));
        }
        for line in &self.marks {
            if belongs(name, line) {
                let x = self.x(line.at.0 as f64);
                let class = if line.kind == LineKind::Fault { "mark fault" } else { "mark" };
                let why = line.value["report"]["reasons"][0]["text"].as_str().unwrap_or_default();
                let text = format!("{} {}: {}\n{why}", clock(line.at.0), line.object, line.summary);
                let _ = writeln!(
                    page,
                    "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"16\" x2=\"{x:.1}\" y2=\"{HEIGHT}\"><title>{}</title></line>",
                    escaped(text.trim_end())
                );
            }
        }
        page.push_str("</svg>\n");
    }

    fn x(&self, at: f64) -> f64 {
        WIDTH * at / (self.outcome.duration.0 as f64).max(1.0)
    }

    /// The highest and the lowest of what falls into each point, so that no spike is lost.
    fn points(&self, curve: &Curve<'_>, peak: f32) -> String {
        let minutes = &self.outcome.minutes;
        let count = POINTS.min(minutes.len());
        let mut text = String::new();
        for index in 0..count {
            let part = &minutes[index * minutes.len() / count..(index + 1) * minutes.len() / count];
            let values = || part.iter().map(|minute| (curve.value)(minute));
            let (high, low) = (values().fold(0.0, f32::max), values().fold(f32::INFINITY, f32::min));
            let x = WIDTH * (index as f64 + 0.5) / count as f64;
            let mut values = vec![high];
            if low < high {
                values.push(low);
            }
            for value in values {
                let share = if peak > 0.0 { f64::from(value / peak) } else { 0.0 };
                let _ = write!(text, "{x:.1},{:.1} ", HEIGHT - share * (HEIGHT - 16.0));
            }
        }
        text
    }

    fn shade(&self, page: &mut String) {
        let minutes = &self.outcome.minutes;
        let mut start = None;
        for index in 0..=minutes.len() {
            match (minutes.get(index).is_some_and(|minute| minute.missed), start) {
                (true, None) => start = Some(index),
                (false, Some(from)) => {
                    let (left, right) = (self.x(from as f64 * 60_000.0), self.x(index as f64 * 60_000.0));
                    let width = (right - left).max(1.0);
                    let _ = writeln!(
                        page,
                        "<rect class=\"missed\" x=\"{left:.1}\" y=\"16\" width=\"{width:.1}\" height=\"{}\"/>",
                        HEIGHT - 16.0
                    );
                    start = None;
                }
                _ => {}
            }
        }
    }
}

fn belongs(plot: &str, line: &Line) -> bool {
    match line.kind {
        LineKind::Fault => true,
        LineKind::Hpa => plot == "Pods",
        LineKind::Pool => plot == "Nodes",
        LineKind::Pod => false,
    }
}

fn list(page: &mut String, outcome: &Outcome) {
    let all = outcome.timeline.iter().filter(|line| line.kind != LineKind::Pod).count();
    let shown = marks(outcome);
    let _ = write!(
        page,
        "<h2>Decisions</h2>\n<p>{} of {all}, the largest first to be kept; <code>--timeline</code> writes all</p>\n<details open><summary>with their reasons</summary>\n<table>\n<tr><th>when</th><th>what</th><th>why</th></tr>\n",
        shown.len()
    );
    for line in shown {
        let reasons = line.value["report"]["reasons"].as_array().into_iter().flatten();
        let reasons: Vec<String> = reasons.filter_map(|reason| reason["text"].as_str()).take(4).map(escaped).collect();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}: {}</td><td class=\"why\">{}</td></tr>",
            clock(line.at.0),
            escaped(&line.object),
            escaped(&line.summary),
            reasons.join("<br>")
        );
    }
    page.push_str("</table>\n</details>\n");
    for (at, text) in &outcome.notes {
        let _ = writeln!(page, "<p>{}: {}</p>", clock(*at), escaped(text));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
