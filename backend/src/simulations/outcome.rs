//! What is kept of a simulation: the summary, a picture's worth of points, and the largest moves.

use backend_api::simulations::{Move, NamedColumn, Series, SimulationResult};
use simulate::{LineKind, Minute, Outcome, Scenario, summary_json};

/// More than a chart is wide.
const POINTS: usize = 720;
const MOVES: usize = 100;

/// `costs` are those of all seeds; `first` is the one that is told.
pub fn result(scenario: &Scenario, first: &Outcome, costs: &[f64]) -> SimulationResult {
    let of_run = first.notes.iter().map(|(at, text)| format!("{}: {text}", clock(*at)));
    SimulationResult {
        summary: summary_json(first, costs),
        series: series(scenario, first),
        moves: moves(first),
        notes: scenario.load.notes.iter().cloned().chain(of_run).collect(),
    }
}

/// `2d 14:03:20`
fn clock(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if seconds >= 86_400 { format!("{}d {clock}", seconds / 86_400) } else { clock }
}

/// Of several minutes in one point the worst latency, the most replicas and nodes, and the mean of rates stand.
fn series(scenario: &Scenario, outcome: &Outcome) -> Series {
    let each = outcome.minutes.len().div_ceil(POINTS).max(1);
    let points: Vec<&[Minute]> = outcome.minutes.chunks(each).collect();
    let mean = |of: fn(&Minute) -> f32| -> Vec<f64> {
        let sum = |minutes: &&[Minute]| minutes.iter().map(|minute| f64::from(of(minute))).sum::<f64>();
        points.iter().map(|minutes| sum(minutes) / minutes.len() as f64).collect()
    };
    let most = |index: usize, of: fn(&Minute) -> &Vec<i32>| -> Vec<i32> {
        let highest = |minutes: &&[Minute]| minutes.iter().filter_map(|minute| of(minute).get(index)).max().copied();
        points.iter().map(|minutes| highest(minutes).unwrap_or_default()).collect()
    };
    let workloads = outcome.replicas.keys().enumerate();
    let pools = scenario.platform.pools.iter().enumerate();
    Series {
        seconds: (0..points.len()).map(|index| (index * each * 60) as f64).collect(),
        requests_per_second: mean(|minute| minute.requests / 60.0),
        p99_ms: points
            .iter()
            .map(|minutes| minutes.iter().map(|minute| 1000.0 * f64::from(minute.p99)).fold(0.0, f64::max))
            .collect(),
        usd_hour: mean(|minute| minute.usd_hour),
        replicas: workloads
            .map(|(index, name)| NamedColumn { name: name.clone(), values: most(index, |minute| &minute.replicas) })
            .collect(),
        nodes: pools
            .map(|(index, pool)| NamedColumn { name: pool.name.clone(), values: most(index, |minute| &minute.nodes) })
            .collect(),
    }
}

/// Where there are too many, those that moved most.
fn moves(outcome: &Outcome) -> Vec<Move> {
    let mut lines: Vec<_> =
        outcome.timeline.iter().filter(|line| matches!(line.kind, LineKind::Hpa | LineKind::Pool)).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.to.abs_diff(line.from)));
    lines.truncate(MOVES);
    lines.sort_by_key(|line| line.at);
    lines
        .into_iter()
        .map(|line| Move {
            seconds: line.at.0 as f64 / 1000.0,
            object: line.object.clone(),
            summary: line.summary.clone(),
        })
        .collect()
}
