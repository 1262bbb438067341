//! `load:` of a scenario.

use std::collections::BTreeMap;

use platform::Platform;
use serde::Deserialize;
use units::Millis;

use super::shape::Shape;
use super::{Curve, Load, Route, read_csv, read_prometheus};
use crate::scenario::{ScenarioError, problem, text};

/// A trace or a shape; at the top also routes with one each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LoadDocument {
    /// A CSV file, or a range query's answer of Prometheus as JSON.
    pub trace: Option<String>,
    pub shape: Option<Shape>,
    /// By path of the ingress.
    pub routes: BTreeMap<String, LoadDocument>,
    /// Of a route: who serves it; without it, whom the Ingress names for the path.
    pub workload: Option<String>,
    /// The CSV's column of values; without it the one that looks like requests.
    pub column: Option<String>,
    /// The CSV's column of times; without it the first that holds times.
    pub time_column: Option<String>,
    /// Whether values are rates or numbers in an interval; without it the column's name tells.
    pub unit: Option<Unit>,
    /// From row to row, where the CSV has no times.
    #[serde(deserialize_with = "text::optional_duration")]
    pub interval: Option<Millis>,
    /// Offset of times that name none, e.g. `+02:00`; UTC without it.
    pub timezone: Option<String>,
    /// What stands for rows that are missing; without it nothing for numbers, the line between neighbours for rates.
    pub gaps: Option<GapFill>,
    /// Multiplies every value.
    pub scale: Option<f64>,
    /// Multiplies every value so that the highest is this many requests per second.
    pub peak: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    PerSecond,
    PerInterval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GapFill {
    Zero,
    /// The last value before the gap.
    Hold,
    Interpolate,
    /// Gaps are refused.
    Error,
}

/// How a CSV is to be read.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    pub column: Option<String>,
    pub time_column: Option<String>,
    pub unit: Option<Unit>,
    pub interval: Option<Millis>,
    pub timezone: Option<String>,
    pub gaps: Option<GapFill>,
}

/// What a trace says, and what was repaired or assumed to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub curve: Curve,
    pub notes: Vec<String>,
}

/// Reads a file that the scenario names.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

impl LoadDocument {
    /// The load for a simulation of `duration`, where the scenario names one. `read` fetches traces.
    ///
    /// # Errors
    /// With the field, and for traces the line, that cannot be used.
    pub fn load(
        &self,
        duration: Option<Millis>,
        platform: &Platform,
        read: ReadFile<'_>,
    ) -> Result<Load, ScenarioError> {
        if self.workload.is_some() {
            return Err(problem("load.workload", "belongs into one of load.routes"));
        }
        if self.routes.is_empty() {
            let source = self.source("load", duration, read)?;
            return Ok(Load { notes: source.notes, ..Load::whole(source.curve) });
        }
        if self.trace.is_some() || self.shape.is_some() {
            return Err(problem("load", "give either routes, or one trace or shape"));
        }
        let mut load = Load { routes: Vec::new(), notes: Vec::new() };
        for (path, route) in &self.routes {
            let field = format!("load.routes.{path}");
            if !route.routes.is_empty() {
                return Err(problem(field, "a route has no routes of its own"));
            }
            let source = route.source(&field, duration, read)?;
            load.notes.extend(source.notes.iter().map(|note| format!("{path}: {note}")));
            let workload = match &route.workload {
                Some(workload) => workload.clone(),
                None => served_by(platform, path)
                    .ok_or_else(|| problem(&field, "no Ingress sends this path anywhere; name its `workload`"))?,
            };
            load.routes.push(Route { path: path.clone(), workload: Some(workload), curve: source.curve });
        }
        Ok(load)
    }

    fn source(&self, field: &str, duration: Option<Millis>, read: ReadFile<'_>) -> Result<Source, ScenarioError> {
        let mut source = match (&self.trace, &self.shape) {
            (Some(path), None) => self.trace(field, path, read)?,
            (None, Some(shape)) => {
                let duration = duration.unwrap_or(Millis::from_secs(86_400));
                let curve =
                    shape.curve(duration).map_err(|(part, text)| problem(format!("{field}.shape.{part}"), text))?;
                Source { curve, notes: Vec::new() }
            }
            (Some(_), Some(_)) => return Err(problem(field, "give either a trace or a shape")),
            (None, None) => return Err(problem(field, "needs a `trace` or a `shape`")),
        };
        let factor = match (self.scale, self.peak) {
            (Some(_), Some(_)) => return Err(problem(field, "give either `scale` or `peak`")),
            (Some(scale), None) => scale,
            (None, Some(peak)) => {
                let highest = source.curve.peak();
                if highest <= 0.0 {
                    return Err(problem(format!("{field}.peak"), "there is no traffic to scale"));
                }
                peak / highest
            }
            (None, None) => 1.0,
        };
        if !(factor.is_finite() && factor >= 0.0 && source.curve.peak() * factor <= super::MOST_PER_SECOND) {
            return Err(problem(
                field,
                format!("its highest rate is more than {:.0} a second", super::MOST_PER_SECOND),
            ));
        }
        source.curve = source.curve.scaled(factor);
        if let (Some(length), Some(duration)) = (source.curve.length().filter(|_| self.trace.is_some()), duration)
            && length < duration
        {
            let times = (duration.0 + length.0 - 1) / length.0;
            source.notes.push(format!("the trace is shorter than the simulation and is played {times} times"));
        }
        Ok(source)
    }

    fn trace(&self, field: &str, path: &str, read: ReadFile<'_>) -> Result<Source, ScenarioError> {
        let at = |text: String| problem(format!("{field}.trace"), format!("{path}: {text}"));
        let text = read(path).map_err(at)?;
        if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            return read_prometheus(&text).map_err(at);
        }
        let options = CsvOptions {
            column: self.column.clone(),
            time_column: self.time_column.clone(),
            unit: self.unit,
            interval: self.interval,
            timezone: self.timezone.clone(),
            gaps: self.gaps,
        };
        read_csv(&text, &options).map_err(at)
    }
}

/// The Deployment behind the Service that an Ingress names for the longest prefix of the path.
fn served_by(platform: &Platform, path: &str) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for (_, ingress) in platform.of_kind("Ingress") {
        for rule in ingress["spec"]["rules"].as_array().into_iter().flatten() {
            for entry in rule["http"]["paths"].as_array().into_iter().flatten() {
                let prefix = entry["path"].as_str().unwrap_or("/");
                let covers =
                    prefix == "/" || path == prefix || path.starts_with(&format!("{}/", prefix.trim_end_matches('/')));
                let service = entry["backend"]["service"]["name"].as_str();
                let better = best.as_ref().is_none_or(|known| prefix.len() > known.0);
                if let Some(service) = service.filter(|_| covers && better) {
                    best = Some((prefix.len(), service.to_owned()));
                }
            }
        }
    }
    best.map(|(_, service)| service)
}
