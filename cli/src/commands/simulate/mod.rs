//! `marea simulate`: the platform under a load, in virtual time.

mod picture;
mod report;
mod traffic;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use simulate::{Options, Outcome, Scenario, Spread, run_with, summary_json};

use crate::error::{CliError, Exit, Result};
use crate::terminal::{note, print, print_json};

pub use traffic::{Source, Traffic};

/// A scenario with where it came from.
pub struct Inputs {
    pub scenario: Scenario,
    pub title: String,
    pub environment: String,
}

#[derive(Args, Clone, Debug)]
pub struct Simulate {
    #[command(flatten)]
    pub traffic: Traffic,
    /// How many seeds the cost's distribution is taken over.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: u32,
    /// Write every decision as JSON lines, in the formats of `marea decide`.
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Write a page with plots, which opens without a network.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// One JSON document instead of a picture.
    #[arg(long)]
    pub json: bool,
    /// With --json: what every minute was like.
    #[arg(long, requires = "json")]
    pub minutes: bool,
}

pub fn run(args: &Simulate) -> Result<Exit> {
    let source = args.traffic.read()?;
    let scenario = source.scenario()?;
    let inputs = Inputs { scenario, title: source.name, environment: source.environment };
    for text in &inputs.scenario.load.notes {
        note(&format!("note: {text}"));
    }
    let first = simulate_one(&inputs.scenario, Options::default())?;
    let mut costs: Vec<f64> = first.usd_month.iter().copied().collect();
    costs.extend(other_costs(&inputs.scenario, args.seeds)?);
    if let Some(path) = &args.timeline {
        let lines: String = first.timeline.iter().map(|line| format!("{}\n", line.value)).collect();
        write(path, &lines)?;
    }
    if let Some(path) = &args.report {
        write(path, &report::page(&inputs, &first, Spread::of(&costs)))?;
    }
    if args.json {
        let mut document = summary_json(&first, &costs);
        document["notes"] = json!(notes(&inputs, &first));
        if args.minutes {
            document["minutes"] = minutes(&inputs, &first);
        }
        print_json(&document);
    } else {
        print(&picture::draw(&inputs, &first, Spread::of(&costs)));
        for path in args.timeline.iter().chain(&args.report) {
            note(&format!("wrote {}", path.display()));
        }
    }
    Ok(Exit::Done)
}

pub(crate) fn simulate_one(scenario: &Scenario, options: Options) -> Result<Outcome> {
    run_with(scenario, options).map_err(|error| CliError::bad_input(error.to_string()))
}

/// What other seeds cost, in the order of the seeds whatever the number of threads is.
fn other_costs(scenario: &Scenario, seeds: u32) -> Result<Vec<f64>> {
    let others: Vec<u64> = (1..u64::from(seeds)).map(|number| scenario.seed.wrapping_add(number)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(others.len()).max(1);
    let each = others.len().div_ceil(threads).max(1);
    let outcomes: Vec<Result<Vec<f64>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = others
            .chunks(each)
            .map(|seeds| {
                scope.spawn(move || {
                    let mut costs = Vec::new();
                    for seed in seeds {
                        let scenario = Scenario { seed: *seed, ..scenario.clone() };
                        costs.extend(simulate_one(&scenario, Options::summary())?.usd_month.iter());
                    }
                    Ok(costs)
                })
            })
            .collect();
        let failed = || Err(CliError::failed("a thread of the simulation ended before its time"));
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| failed())).collect()
    });
    let mut costs = Vec::new();
    for outcome in outcomes {
        costs.extend(outcome?);
    }
    Ok(costs)
}

fn notes(inputs: &Inputs, outcome: &Outcome) -> Vec<String> {
    let of_run = outcome.notes.iter().map(|(at, text)| format!("{}: {text}", picture::clock(*at)));
    inputs.scenario.load.notes.iter().cloned().chain(of_run).collect()
}

fn minutes(inputs: &Inputs, outcome: &Outcome) -> Value {
    let workloads: Vec<&String> = outcome.replicas.keys().collect();
    let pools: Vec<&str> = inputs.scenario.platform.pools.iter().map(|pool| pool.name.as_str()).collect();
    let minute = |minute: &simulate::Minute| {
        let replicas: serde_json::Map<String, Value> =
            workloads.iter().zip(&minute.replicas).map(|(name, count)| ((*name).clone(), json!(count))).collect();
        let nodes: serde_json::Map<String, Value> =
            pools.iter().zip(&minute.nodes).map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        json!({"requests": minute.requests, "failed": minute.failed, "p99_ms": 1000.0 * minute.p99, "usd_hour": minute.usd_hour,
               "missed": minute.missed, "replicas": replicas, "nodes": nodes})
    };
    outcome.minutes.iter().map(minute).collect()
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| CliError::failed(format!("{} cannot be written: {error}", path.display())))
}
