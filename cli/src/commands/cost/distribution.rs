//! What a load makes of the costs: a simulation for each seed, its bill, and the spread of the bills.

use std::collections::BTreeMap;
use std::path::PathBuf;

use price::{Bill, Consumption, MONTH, NodeTime, Usage};
use serde_json::{Value, json};
use simulate::{Options, Outcome, Scenario, Spread};

use crate::commands::simulate::{Traffic, simulate_one};
use crate::error::Result;
use crate::pricing::Prices;

/// What is simulated.
pub struct Wanted {
    pub scenario: Option<PathBuf>,
    pub load: Option<PathBuf>,
    pub environment: String,
    pub set: Vec<String>,
    pub seeds: u32,
}

/// Of a month that goes on like the simulation.
pub struct Distribution {
    pub what: String,
    pub seeds: u32,
    pub total: Spread,
    pub by_stack: BTreeMap<&'static str, Spread>,
    pub by_meter: BTreeMap<&'static str, Spread>,
    /// Repairs of the load, in words.
    pub notes: Vec<String>,
}

pub fn of(wanted: &Wanted, prices: &Prices, region: Option<&str>) -> Result<Distribution> {
    let source = Traffic {
        scenario: wanted.scenario.clone(),
        trace: wanted.load.clone(),
        column: None,
        peak: None,
        duration: None,
        set: wanted.set.clone(),
        seed: None,
        env: wanted.scenario.is_none().then(|| wanted.environment.clone()),
    }
    .read()?;
    let first = source.scenario()?;
    let mut bills = Vec::new();
    for number in 0..u64::from(wanted.seeds) {
        let scenario = Scenario { seed: first.seed.wrapping_add(number), ..first.clone() };
        let outcome = simulate_one(&scenario, Options::summary())?;
        let usage = usage(&scenario, &outcome)?;
        bills.push(prices.bill_usage(&scenario.platform, &usage, region)?);
    }
    let what = wanted.load.as_ref().or(wanted.scenario.as_ref()).map(|path| path.display().to_string());
    Ok(Distribution {
        what: what.unwrap_or(source.name),
        seeds: wanted.seeds,
        total: spread(&bills, |bill| bill.total().as_f64()),
        by_stack: spreads(&bills, |bill| {
            bill.by_stack().into_iter().map(|(stack, cost)| (stack.name(), cost)).collect()
        }),
        by_meter: spreads(&bills, |bill| bill.by_meter().into_iter().map(|(meter, cost)| (meter.id(), cost)).collect()),
        notes: first.load.notes.clone(),
    })
}

/// Every request passes the load balancer, and its answer leaves for the internet; both have the scenario's size.
fn usage(scenario: &Scenario, outcome: &Outcome) -> Result<Usage> {
    let bytes = (outcome.requests * scenario.cloud.bytes_per_request.0 as f64).clamp(0.0, 1e18) as u64;
    let node_time = outcome.node_millis.iter().map(|(pool, millis)| (pool.clone(), NodeTime(*millis)));
    let consumption = Consumption {
        period: scenario.duration,
        node_time: node_time.collect(),
        traffic: price::Traffic { load_balancer_bytes: bytes, egress_bytes: bytes, ..price::Traffic::default() },
        backup_gib_beyond_storage: 0,
    };
    Usage::of(&scenario.platform, &consumption)
        .map(|usage| usage.scaled_to(MONTH))
        .map_err(|error| crate::error::CliError::bad_input(error.to_string()))
}

fn spread(bills: &[Bill], value: impl Fn(&Bill) -> f64) -> Spread {
    let values: Vec<f64> = bills.iter().map(value).collect();
    Spread::of(&values).unwrap_or(Spread { p5: 0.0, p50: 0.0, p95: 0.0 })
}

type Sums = BTreeMap<&'static str, units::Money>;

/// What is on some bills only counts as nothing on the others.
fn spreads(bills: &[Bill], sums: impl Fn(&Bill) -> Sums) -> BTreeMap<&'static str, Spread> {
    let each: Vec<Sums> = bills.iter().map(sums).collect();
    let names: std::collections::BTreeSet<&'static str> = each.iter().flat_map(|sums| sums.keys().copied()).collect();
    let of = |name: &'static str| {
        let values: Vec<f64> = each.iter().map(|sums| sums.get(name).copied().unwrap_or_default().as_f64()).collect();
        Spread::of(&values).map(|spread| (name, spread))
    };
    names.into_iter().filter_map(of).collect()
}

impl Distribution {
    pub fn json(&self) -> Value {
        let cents = |value: f64| (value * 100.0).round() / 100.0;
        let one = |spread: &Spread| json!({"p5": cents(spread.p5), "p50": cents(spread.p50), "p95": cents(spread.p95)});
        let all = |spreads: &BTreeMap<&'static str, Spread>| {
            spreads.iter().map(|(name, spread)| ((*name).to_owned(), one(spread))).collect::<serde_json::Map<_, _>>()
        };
        json!({"load": self.what, "seeds": self.seeds, "total": one(&self.total), "byStack": all(&self.by_stack),
            "byMeter": all(&self.by_meter), "notes": self.notes})
    }
}
