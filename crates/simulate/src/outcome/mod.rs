//! What came of a simulation.

mod cost;
mod passage;
mod record;
mod summary;

use std::collections::BTreeMap;

use serde_json::Value;
use units::Millis;

pub(crate) use passage::Passage;
pub(crate) use record::Record;
pub use summary::{Spread, percentile, summary_json};

/// Everything that one seed's simulation ends with.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub seed: u64,
    pub duration: Millis,
    /// Of the load; each counts once, however many workloads and attempts it takes.
    pub requests: f64,
    pub failed: f64,
    /// Seconds; `None` without a request that was answered.
    pub latency: Option<Latency>,
    /// Minutes in which an objective was missed; 0 where there is none.
    pub slo_missed_minutes: u64,
    /// By pool: nodes × milliseconds, from the request to the deletion.
    pub node_millis: BTreeMap<String, u128>,
    /// By pool: at the end.
    pub sizes: BTreeMap<String, i32>,
    /// By workload with an autoscaler or work.
    pub replicas: BTreeMap<String, Replicas>,
    /// Dollars of a month of 730 hours at the prices of the committed sheet, or why they are not known.
    pub usd_month: Result<f64, String>,
    /// Rescales, changes of pools, placements.
    pub decisions: u64,
    /// In the formats of `marea decide`; only with [`crate::Options::timeline`].
    pub timeline: Vec<Line>,
    /// Only with [`crate::Options::series`].
    pub minutes: Vec<Minute>,
    /// What went otherwise than planned, a sentence each with its instant in milliseconds.
    pub notes: Vec<(i64, String)>,
    /// Pods without a node at the end.
    pub pending: Vec<String>,
    /// What `decide::check` found; only with [`crate::Options::check`].
    pub findings: Vec<String>,
    /// Dollars an hour that everything but nodes costs, and one node of each pool.
    pub hourly: Hourly,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hourly {
    pub fixed: f64,
    /// In the order of the pools.
    pub nodes: Vec<f64>,
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// What the autoscaler asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replicas {
    pub min: i32,
    pub mean: f64,
    pub max: i32,
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub at: Millis,
    pub kind: LineKind,
    /// `hpa/platform/backend`, `pool/backend`, `pod/platform/backend-3`
    pub object: String,
    pub from: i32,
    pub to: i32,
    /// The report's sentence.
    pub summary: String,
    pub value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    Hpa,
    Pool,
    Pod,
    Fault,
}

/// One minute of the simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minute {
    pub requests: f32,
    pub failed: f32,
    /// Seconds; the highest of the minute.
    pub p99: f32,
    /// Wanted and ready at its end, by workload as in [`Outcome::replicas`].
    pub replicas: Vec<i32>,
    /// At its end, by pool.
    pub nodes: Vec<i32>,
    /// Dollars an hour at its end.
    pub usd_hour: f32,
    pub missed: bool,
}
