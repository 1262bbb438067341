//! Simulations as jobs: what somebody asks for, how far it is, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Jobs that wait or run at once, over all replicas.
pub const ACTIVE_AT_MOST: u32 = 20;
/// Ended jobs that are kept; older ones are forgotten.
pub const KEPT: u32 = 100;
/// Seeds that the cost's distribution is taken over.
pub const DEFAULT_SEEDS: u32 = 10;
pub const MAX_SEEDS: u32 = 50;
pub const MAX_DAYS: u32 = 92;
pub const MAX_TITLE_CHARACTERS: usize = 120;
/// Of a trace in a request.
pub const MAX_TRACE_BYTES: usize = 900 * 1024;

/// A simulation of the deployed platform.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewSimulation {
    /// What people call it; at most 120 characters.
    #[serde(default)]
    pub title: String,
    /// As `marea simulate --scenario` reads it, without `set`, `project` and `environment`: it is about what is deployed.
    pub scenario: serde_json::Value,
    /// Text of the CSV, or of Prometheus' answer, that the scenario's `load.trace` stands for.
    #[serde(default)]
    pub trace: Option<String>,
    /// 1 to 50; 10 where it is left out.
    #[serde(default)]
    pub seeds: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SimulationState {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// A job without its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    pub id: String,
    pub title: String,
    pub state: SimulationState,
    /// 0 to 1.
    pub progress: f64,
    pub seeds: u32,
    /// RFC 3339.
    pub created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Dollars a month at the median over the seeds; of a job that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_month: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// A job with what was asked and, when it is done, what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulationDetail {
    pub simulation: Simulation,
    pub scenario: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<SimulationResult>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulationResult {
    /// As `marea simulate --json` prints it.
    pub summary: serde_json::Value,
    pub series: Series,
    /// The first seed's largest moves, in the order of time.
    pub moves: Vec<Move>,
    /// What was assumed or repaired, and what went otherwise than planned.
    pub notes: Vec<String>,
}

/// Columns of equal length; each point holds until the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Seconds from the start to each point.
    pub seconds: Vec<f64>,
    pub requests_per_second: Vec<f64>,
    pub p99_ms: Vec<f64>,
    pub usd_hour: Vec<f64>,
    pub replicas: Vec<NamedColumn>,
    pub nodes: Vec<NamedColumn>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedColumn {
    pub name: String,
    pub values: Vec<i32>,
}

/// A rescale, or a change of a pool's size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub seconds: f64,
    /// `hpa/backend`, `pool/backend`
    pub object: String,
    pub summary: String,
}
