//! `marea load`: an open-loop load generator aimed at the platform's own address.
//!
//! Open loop: requests leave when the shape says so, whether or not earlier ones were answered, and latency counts from
//! that intended instant. A slow answer therefore cannot hide the requests that should have been sent meanwhile
//! (coordinated omission).

mod run;
mod schedule;
mod shape;
mod summary;
mod target;
mod trace;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

pub use run::{Outcome, run};

#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:
  marea load --shape constant --rate 50 --for 30s
  marea load --shape spike --rate 40 --peak 800 --for 4m
  marea load --trace traces/shop.csv --column requests --peak 500 --for 10m --json

Exit codes: 0 every request answered, 1 some failed, 2 bad usage, 4 interrupted.")]
pub struct Args {
    /// How the rate moves over time.
    #[arg(long, value_enum, default_value = "constant", conflicts_with = "trace")]
    pub shape: Shape,

    /// Requests per second; for spike, ramp and diurnal the low end.
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    pub rate: f64,

    /// Requests per second at the high end [default: ten times --rate; with --trace: the trace's own numbers].
    #[arg(long, value_parser = rate)]
    pub peak: Option<f64>,

    /// How long, e.g. 90s, 2m or 1h.
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub duration: Duration,

    /// A CSV of traffic, played in the time that --for gives.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// The trace's column with the traffic [default: the last one].
    #[arg(long, requires = "trace")]
    pub column: Option<String>,

    /// Path and query to request.
    #[arg(long, default_value = "/api/v1/work")]
    pub path: String,

    /// The platform's address, when it is not the running local cloud's; loopback only.
    #[arg(long)]
    pub url: Option<String>,

    /// A request without an answer after this time has failed.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub timeout: Duration,

    /// Print one JSON document at the end instead of lines for people.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// The same rate all the time.
    Constant,
    /// From --rate to --peak in a straight line.
    Ramp,
    /// --rate, then --peak from one fifth to three fifths of the time, then --rate again.
    Spike,
    /// One day's wave between --rate and --peak, squeezed into the time.
    Diurnal,
}

/// What one machine can send without the generator itself becoming the bottleneck that is measured.
const MAX_RATE: f64 = 50_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err(format!("must be a number of requests per second above 0 and up to {MAX_RATE}")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let problem = || "must be a duration such as 500ms, 90s, 2m or 1h, up to 24h".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(problem)?;
    let number: f64 = text[..unit_at].parse().map_err(|_| problem())?;
    let seconds = match &text[unit_at..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(problem()),
    };
    if seconds > 0.0 && seconds <= 86_400.0 { Ok(Duration::from_secs_f64(seconds)) } else { Err(problem()) }
}

/// Why a load could not start; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the platform has no address on this machine yet")]
    NoPlatform,
    #[error("{url} is not a loopback address: marea load is aimed at the platform on this machine only")]
    NotOurs { url: String },
    #[error("{url} is not a URL such as http://127.0.0.1:8080: {reason}")]
    BadUrl { url: String, reason: String },
    #[error("cannot read the trace {}", path.display())]
    ReadTrace {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}:{line}: {problem}", path.display())]
    BadTrace { path: PathBuf, line: u64, problem: String },
    #[error("--peak {peak} lies below --rate {rate}")]
    PeakBelowRate { peak: f64, rate: f64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_are_checked() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "90", "s", "-1s", "0s", "25h", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-3", "inf", "NaN", "1e9", "many"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
