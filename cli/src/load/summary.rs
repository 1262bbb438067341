//! What was sent and what came back.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// How one request ended.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// From the instant at which the request was due to the last byte of its answer.
    pub latency: Duration,
    pub result: Result<u16, Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    Connect,
    Reset,
    Timeout,
    /// The generator had too many requests under way to send one more.
    Overload,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Reset => "reset",
            Failure::Timeout => "timeout",
            Failure::Overload => "overload",
        }
    }
}

pub(super) struct Summary {
    latencies_us: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<Failure, u64>,
    requests: u64,
}

/// Latencies above this are recorded as this; far above every time-out.
const MAX_LATENCY_US: u64 = 3_600_000_000;

impl Summary {
    pub fn new() -> Summary {
        let latencies_us = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are constants"));
        Summary { latencies_us, statuses: BTreeMap::new(), failures: BTreeMap::new(), requests: 0 }
    }

    pub fn record(&mut self, answer: &Answer) {
        self.requests += 1;
        self.latencies_us.saturating_record(u64::try_from(answer.latency.as_micros()).unwrap_or(MAX_LATENCY_US).max(1));
        match answer.result {
            Ok(status) => *self.statuses.entry(status).or_default() += 1,
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }

    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Everything but a 2xx or 3xx.
    pub fn failed(&self) -> u64 {
        let refused = self.statuses.iter().filter(|(status, _)| **status >= 400).map(|(_, count)| count).sum::<u64>();
        refused + self.failures.values().sum::<u64>()
    }

    fn percentile_ms(&self, quantile: f64) -> f64 {
        self.latencies_us.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// One line of the run so far.
    pub fn line(&self, elapsed: Duration, rate: f64) -> String {
        format!(
            "{:>4.0} s  {rate:>7.1}/s offered  {:>8} requests  {} failed  p50 {:.1} ms  p95 {:.1} ms  p99 {:.1} ms",
            elapsed.as_secs_f64(),
            self.requests,
            self.failed(),
            self.percentile_ms(0.50),
            self.percentile_ms(0.95),
            self.percentile_ms(0.99),
        )
    }

    pub fn json(&self, elapsed: Duration, offered: u64) -> Value {
        let failures: BTreeMap<&str, u64> =
            self.failures.iter().map(|(failure, count)| (failure.name(), *count)).collect();
        json!({
            "seconds": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "offered": offered,
            "requests": self.requests,
            "failed": self.failed(),
            "failures": failures,
            "statuses": self.statuses,
            "rate": self.requests as f64 / elapsed.as_secs_f64().max(0.001),
            "latency_ms": {
                "p50": self.percentile_ms(0.50),
                "p95": self.percentile_ms(0.95),
                "p99": self.percentile_ms(0.99),
                "max": self.latencies_us.max() as f64 / 1000.0,
            },
        })
    }

    /// The end of a run for people.
    pub fn text(&self, elapsed: Duration, offered: u64) -> String {
        let mut text = format!(
            "{} of {offered} requests in {:.1} s, {} failed\nlatency from the intended instant: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms\n",
            self.requests,
            elapsed.as_secs_f64(),
            self.failed(),
            self.percentile_ms(0.50),
            self.percentile_ms(0.95),
            self.percentile_ms(0.99),
            self.latencies_us.max() as f64 / 1000.0,
        );
        for (status, count) in &self.statuses {
            text.push_str(&format!("  {status}: {count}\n"));
        }
        for (failure, count) in &self.failures {
            text.push_str(&format!("  {}: {count}\n", failure.name()));
        }
        text
    }
}
