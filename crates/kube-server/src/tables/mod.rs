//! `meta.k8s.io` tables: what `kubectl get` prints, computed by the server.

pub mod columns;
mod pods;
mod render;
mod workloads;

use serde_json::Value;
use units::Timestamp;

pub use render::{IncludeObject, partial, table};

/// One column. Cells are computed from the object; a time in a cell is printed as an age.
pub struct Column {
    pub name: &'static str,
    pub kind: &'static str,
    pub format: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: i64,
    pub cell: fn(&Value, Timestamp) -> Value,
}

/// A label selector as `app=web,tier in (a,b)`; plain label maps too.
pub fn selector_text(selector: &Value) -> String {
    let mut parts = Vec::new();
    let labels = if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        selector.get("matchLabels")
    } else {
        Some(selector)
    };
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in crate::json::items(selector, "/matchExpressions") {
        let key = crate::json::text(expression, "/key").unwrap_or_default();
        let values: Vec<&str> = crate::json::items(expression, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match crate::json::text(expression, "/operator").unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    parts.sort();
    parts.join(",")
}

/// A span as upstream's `duration.HumanDuration` prints it.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |whole: i64, unit: char, rest: i64, rest_unit: char| match rest {
        0 => format!("{whole}{unit}"),
        _ => format!("{whole}{unit}{rest}{rest_unit}"),
    };
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if s < 600 => with(minutes, 'm', s % 60, 's'),
        s if s < 3 * 3600 => format!("{minutes}m"),
        s if s < 8 * 3600 => with(hours, 'h', minutes % 60, 'm'),
        s if s < 48 * 3600 => format!("{hours}h"),
        s if s < 8 * 86_400 => with(days, 'd', hours % 24, 'h'),
        s if s < 2 * 365 * 86_400 => format!("{days}d"),
        s if s < 8 * 365 * 86_400 => with(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The age of what happened at the RFC 3339 text.
pub fn age(text: Option<&str>, now: Timestamp) -> String {
    match text.and_then(|text| Timestamp::parse(text).ok()) {
        Some(at) => human_duration((now - at).0.div_euclid(1000)),
        None => "<unknown>".to_owned(),
    }
}
