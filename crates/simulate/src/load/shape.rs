//! Loads without a trace.

use serde::Deserialize;
use units::Millis;

use super::{Curve, MOST_PER_SECOND};
use crate::scenario::text;

/// Rates in requests per second.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Shape {
    Constant(Constant),
    /// From one rate to another, and there it stays.
    Ramp(Ramp),
    /// A rate, for a while a higher one, and back.
    Spike(Spike),
    /// A day's rise and fall, lowest at the start.
    Diurnal(Diurnal),
    /// A crowd that comes fast, and leaves slowly.
    FlashCrowd(FlashCrowd),
    Steps(Vec<Step>),
}

/// `constant: 40` or `constant: {rate: 40}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "ConstantForm")]
pub struct Constant {
    pub rate: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ConstantForm {
    Rate(f64),
    Fields(ConstantFields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantFields {
    rate: f64,
}

impl From<ConstantForm> for Constant {
    fn from(form: ConstantForm) -> Constant {
        match form {
            ConstantForm::Rate(rate) | ConstantForm::Fields(ConstantFields { rate }) => Constant { rate },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    #[serde(alias = "low")]
    pub from: f64,
    #[serde(alias = "high")]
    pub to: f64,
    /// Without it: the whole simulation.
    #[serde(default, deserialize_with = "text::optional_duration")]
    pub over: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    pub low: f64,
    pub high: f64,
    #[serde(deserialize_with = "text::duration")]
    pub at: Millis,
    #[serde(rename = "for", deserialize_with = "text::duration")]
    pub lasts: Millis,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diurnal {
    pub low: f64,
    pub high: f64,
    #[serde(default = "a_day", deserialize_with = "text::duration")]
    pub period: Millis,
}

fn a_day() -> Millis {
    Millis::from_secs(86_400)
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashCrowd {
    pub low: f64,
    pub high: f64,
    #[serde(deserialize_with = "text::duration")]
    pub at: Millis,
    /// Until it is at its highest.
    #[serde(default = "a_minute", deserialize_with = "text::duration")]
    pub rise: Millis,
    /// After which only half of what came is left, and so on.
    #[serde(default = "ten_minutes", rename = "halfLife", deserialize_with = "text::duration")]
    pub half_life: Millis,
}

fn a_minute() -> Millis {
    Millis::from_secs(60)
}

fn ten_minutes() -> Millis {
    Millis::from_secs(600)
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(deserialize_with = "text::duration")]
    pub at: Millis,
    pub rate: f64,
}

/// Curves change this often; in short simulations four times as often.
const GRAIN: i64 = 60_000;

impl Shape {
    /// The curve over a simulation of this length.
    ///
    /// # Errors
    /// With the field and what is wrong with it.
    pub fn curve(&self, duration: Millis) -> Result<Curve, (&'static str, String)> {
        let grain = if duration.0 <= 6 * 3_600_000 { GRAIN / 4 } else { GRAIN };
        match self {
            Shape::Constant(shape) => Ok(Curve::constant(rate("constant", shape.rate)?)),
            Shape::Ramp(shape) => {
                let (from, to) = (rate("ramp.from", shape.from)?, rate("ramp.to", shape.to)?);
                let over = shape.over.unwrap_or(duration).0.max(1);
                let ramp = sampled(over, grain, |share| from + (to - from) * share);
                Ok(Curve::new(ramp.chain([(over, to)]), None))
            }
            Shape::Spike(shape) => {
                let (low, high) = (rate("spike.low", shape.low)?, rate("spike.high", shape.high)?);
                Ok(Curve::new([(0, low), (shape.at.0, high), (shape.at.0 + shape.lasts.0, low)], None))
            }
            Shape::Diurnal(shape) => {
                let (low, high) = (rate("diurnal.low", shape.low)?, rate("diurnal.high", shape.high)?);
                if shape.period.0 < 60_000 {
                    return Err(("diurnal.period", "must be at least a minute".to_owned()));
                }
                let wave = |share: f64| low + (high - low) * (1.0 - libm::cos(core::f64::consts::TAU * share)) / 2.0;
                Ok(Curve::new(sampled(shape.period.0, grain, wave), Some(shape.period)))
            }
            Shape::FlashCrowd(shape) => {
                let (low, high) = (rate("flashCrowd.low", shape.low)?, rate("flashCrowd.high", shape.high)?);
                let (at, rise, half) = (shape.at.0, shape.rise.0.max(1), shape.half_life.0.max(1));
                let up = sampled(rise, grain.min(rise), move |share| low + (high - low) * share);
                // After twelve half-lives, one in four thousand is left.
                let fall = sampled(12 * half, grain, move |share| low + (high - low) * libm::exp2(-12.0 * share));
                let crowd = up.map(move |(t, r)| (at + t, r)).chain(fall.map(move |(t, r)| (at + rise + t, r)));
                Ok(Curve::new([(0, low)].into_iter().chain(crowd).chain([(at + rise + 12 * half, low)]), None))
            }
            Shape::Steps(steps) => {
                for (index, step) in steps.iter().enumerate() {
                    rate("steps", step.rate)?;
                    if index > 0 && steps[index - 1].at >= step.at {
                        return Err(("steps", format!("step {} does not come after the one before", index + 1)));
                    }
                }
                if steps.is_empty() {
                    return Err(("steps", "there is no step".to_owned()));
                }
                Ok(Curve::new([(0, 0.0)].into_iter().chain(steps.iter().map(|step| (step.at.0, step.rate))), None))
            }
        }
    }
}

/// The middle of each grain of a span, with how far it is through it.
fn sampled(span: i64, grain: i64, value: impl Fn(f64) -> f64) -> impl Iterator<Item = (i64, f64)> {
    let grain = grain.max(1);
    (0..(span + grain - 1) / grain).map(move |index| {
        let (start, end) = (index * grain, ((index + 1) * grain).min(span));
        (start, value((start + end) as f64 / 2.0 / span as f64))
    })
}

fn rate(field: &'static str, rate: f64) -> Result<f64, (&'static str, String)> {
    if (0.0..=MOST_PER_SECOND).contains(&rate) {
        return Ok(rate);
    }
    Err((field, format!("{rate} is not a number of requests per second between 0 and {MOST_PER_SECOND:.0}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[(i64, i64)]) {
        let shape: Shape = serde_json::from_str(json).unwrap();
        let curve = shape.curve(Millis::from_secs(3600)).unwrap();
        let mut walk = super::super::Walk::new(&curve);
        for (at, rate) in expected {
            while let Some(next) = walk.next_change().filter(|next| *next <= at * 1000) {
                walk.advance(next);
            }
            assert_eq!(walk.rate().round() as i64, *rate, "{json} at {at}");
        }
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        check(r#"{"constant": 40}"#, &[(0, 40), (3599, 40)]);
        check(r#"{"constant": {"rate": 40}}"#, &[(0, 40)]);
        check(r#"{"ramp": {"from": 0, "to": 100, "over": "1000s"}}"#, &[(500, 50), (1000, 100), (3000, 100)]);
        check(r#"{"spike": {"low": 1, "high": 9, "at": "60s", "for": "10s"}}"#, &[(59, 1), (60, 9), (69, 9), (70, 1)]);
        check(r#"{"diurnal": {"low": 0, "high": 100, "period": "1h"}}"#, &[(0, 0), (900, 51), (1800, 100), (3599, 0)]);
        check(
            r#"{"flashCrowd": {"low": 10, "high": 110, "at": "60s", "rise": "60s", "halfLife": "2m"}}"#,
            &[(0, 10), (119, 98), (241, 58), (3599, 10)],
        );
        check(r#"{"steps": [{"at": "10s", "rate": 5}, {"at": "20s", "rate": 7}]}"#, &[(0, 0), (10, 5), (25, 7)]);
    }

    #[test]
    fn absurd_rates_are_refused() {
        let shape: Shape = serde_json::from_str(r#"{"constant": -1}"#).unwrap();
        assert!(shape.curve(Millis(1)).unwrap_err().1.contains("-1"));
        assert!(serde_json::from_str::<Shape>(r#"{"constant": {"rat": 1}}"#).is_err());
        assert!(serde_json::from_str::<Shape>(r#"{"saw": {"low": 1}}"#).is_err());
    }
}
