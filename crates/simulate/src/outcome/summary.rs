//! The summary, as FORMATS have it.

use serde_json::{Map, Value, json};

use super::Outcome;

/// Percentiles of one number over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub p5: f64,
    pub p50: f64,
    pub p95: f64,
}

impl Spread {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Spread { p5: percentile(&sorted, 0.05)?, p50: percentile(&sorted, 0.5)?, p95: percentile(&sorted, 0.95)? })
    }
}

/// Between the nearest of the sorted values; `None` without any.
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (low, part) = (place as usize, place - place.floor());
    let high = (low + 1).min(sorted.len() - 1);
    Some(sorted[low] + (sorted[high] - sorted[low]) * part)
}

/// The document that `marea simulate --json` prints. `first` is the outcome that is told; `costs` are those of all seeds.
pub fn summary_json(first: &Outcome, costs: &[f64]) -> Value {
    let spread = Spread::of(costs);
    let cost = spread.map_or(
        Value::Null,
        |spread| json!({"p5": rounded(spread.p5, 2), "p50": rounded(spread.p50, 2), "p95": rounded(spread.p95, 2)}),
    );
    let latency = first.latency.map_or(Value::Null, |latency| {
        json!({"p50": rounded(1000.0 * latency.p50, 3), "p95": rounded(1000.0 * latency.p95, 3), "p99": rounded(1000.0 * latency.p99, 3)})
    });
    let hours: Map<String, Value> = first
        .node_millis
        .iter()
        .map(|(pool, millis)| (pool.clone(), json!(rounded(*millis as f64 / 3_600_000.0, 3))))
        .collect();
    let replicas: Map<String, Value> = first
        .replicas
        .iter()
        .map(|(name, seen)| (name.clone(), json!({"min": seen.min, "mean": rounded(seen.mean, 3), "max": seen.max})))
        .collect();
    let mut document = json!({
        "summary": {
            "cost": {"usd_month": cost},
            "latency_ms": latency,
            "slo_missed_minutes": first.slo_missed_minutes,
            "requests": first.requests.round() as u64,
            "failed": first.failed.round() as u64,
            "node_hours": hours,
            "replicas": replicas,
        },
        "decisions": first.decisions,
        "seed": first.seed,
        "seeds": costs.len(),
        "duration_seconds": first.duration.0 / 1000,
        "nodes": first.sizes,
        "pending": first.pending,
    });
    if let Err(reason) = &first.usd_month {
        document["summary"]["cost"]["unknown"] = json!(reason);
    }
    document
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = f64::from(10_i32.pow(decimals.unsigned_abs()));
    (value * factor).round() / factor
}
