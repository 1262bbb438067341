//! `p99<300ms,errors<0.1%`: what has to be kept.

use std::fmt;
use std::str::FromStr;

use super::search::{Limits, Score};

/// Bounds of a service level; what is not named is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slo {
    /// Milliseconds.
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    /// Failed requests of all, 0 to 1.
    pub errors: Option<f64>,
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Slo, String> {
        let mut slo = Slo::default();
        for part in text.split(',').map(str::trim) {
            let (name, bound) = part
                .split_once("<=")
                .or_else(|| part.split_once('<'))
                .ok_or_else(|| format!("`{part}`: write it as p99<300ms or errors<0.1%"))?;
            let slot = match name.trim() {
                "p50" => &mut slo.p50,
                "p95" => &mut slo.p95,
                "p99" => &mut slo.p99,
                "errors" => &mut slo.errors,
                other => return Err(format!("`{other}` is none of p50, p95, p99 and errors")),
            };
            let bound = if name.trim() == "errors" { share(bound.trim()) } else { milliseconds(bound.trim()) };
            if slot.replace(bound.map_err(|problem| format!("`{part}`: {problem}"))?).is_some() {
                return Err(format!("`{}` is bounded twice", name.trim()));
            }
        }
        Ok(slo)
    }
}

fn number(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| format!("`{text}` is not a number above 0"))
}

fn milliseconds(text: &str) -> Result<f64, String> {
    match text.strip_suffix("ms") {
        Some(value) => number(value),
        None => match text.strip_suffix('s') {
            Some(value) => number(value).map(|seconds| seconds * 1000.0),
            None => Err("a latency needs a unit, ms or s".to_owned()),
        },
    }
}

fn share(text: &str) -> Result<f64, String> {
    let value = match text.strip_suffix('%') {
        Some(value) => number(value)? / 100.0,
        None => number(text)?,
    };
    if value <= 1.0 { Ok(value) } else { Err("more than all requests cannot fail".to_owned()) }
}

impl Slo {
    pub fn is_empty(&self) -> bool {
        *self == Slo::default()
    }

    /// What a candidate must keep: the bounds that are given, and of the rest what the platform has today.
    pub fn limits(&self, today: &Score) -> Limits {
        let today = Limits::of(today);
        Limits {
            p99_ms: self.p99.unwrap_or(today.p99_ms),
            errors: self.errors.unwrap_or(today.errors),
            // Minutes are missed by the bounds; a search may not trade one bad hour for many good ones.
            slo_missed_minutes: today.slo_missed_minutes,
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latencies = [("p50", self.p50), ("p95", self.p95), ("p99", self.p99)];
        let latencies = latencies.iter().filter_map(|(name, bound)| Some(format!("{name}<{}ms", (*bound)?)));
        let errors = self.errors.map(|bound| format!("errors<{}%", bound * 100.0));
        f.write_str(&latencies.chain(errors).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Slo, &str>) {
        match (text.parse::<Slo>(), expected) {
            (Ok(slo), Ok(expected)) => assert_eq!(slo, expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn bounds_are_read_with_their_units() {
        let both = Slo { p99: Some(300.0), errors: Some(0.001), ..Slo::default() };
        check("p99<300ms,errors<0.1%", Ok(both));
        check(" p99 <= 0.3s , errors < 0.001 ", Ok(both));
        check("p50<10ms,p95<50ms", Ok(Slo { p50: Some(10.0), p95: Some(50.0), ..Slo::default() }));
        assert_eq!(both.to_string(), "p99<300ms,errors<0.1%");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check("p99>300ms", Err("write it as"));
        check("p98<300ms", Err("`p98` is none of"));
        check("p99<300", Err("needs a unit"));
        check("p99<-3ms", Err("not a number above 0"));
        check("p99<1ms,p99<2ms", Err("bounded twice"));
        check("errors<150%", Err("cannot fail"));
        check("", Err("write it as"));
    }
}
