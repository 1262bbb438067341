//! The offered rate as a function of time.

use super::trace::Trace;
use super::{Args, LoadError, Shape};

/// Requests per second at every instant of a run.
#[derive(Debug)]
pub(super) enum Curve {
    Shape { shape: Shape, low: f64, high: f64, seconds: f64 },
    Trace { rates: Vec<f64>, seconds: f64 },
}

impl Curve {
    pub fn new(args: &Args) -> Result<Curve, LoadError> {
        let seconds = args.duration.as_secs_f64();
        if let Some(path) = &args.trace {
            let trace = Trace::read(path, args.column.as_deref())?;
            return Ok(Curve::Trace { rates: trace.rates(args.peak), seconds });
        }
        let high = match (args.shape, args.peak) {
            (Shape::Constant, None) => args.rate,
            (_, peak) => peak.unwrap_or(args.rate * 10.0),
        };
        if high < args.rate {
            return Err(LoadError::PeakBelowRate { peak: high, rate: args.rate });
        }
        Ok(Curve::Shape { shape: args.shape, low: args.rate, high, seconds })
    }

    pub fn seconds(&self) -> f64 {
        match self {
            Curve::Shape { seconds, .. } | Curve::Trace { seconds, .. } => *seconds,
        }
    }

    pub fn rate_at(&self, at_seconds: f64) -> f64 {
        match self {
            Curve::Shape { shape, low, high, seconds } => {
                let progress = (at_seconds / seconds).clamp(0.0, 1.0);
                low + (high - low) * share(*shape, progress)
            }
            Curve::Trace { rates, seconds } => {
                let position = (at_seconds / seconds * rates.len() as f64) as usize;
                rates.get(position.min(rates.len() - 1)).copied().unwrap_or(0.0)
            }
        }
    }
}

/// How far between low (0) and high (1) a shape is.
fn share(shape: Shape, progress: f64) -> f64 {
    match shape {
        Shape::Constant => 1.0,
        Shape::Ramp => progress,
        Shape::Spike => f64::from((0.2..0.6).contains(&progress)),
        Shape::Diurnal => (1.0 - (progress * std::f64::consts::TAU).cos()) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_lie_between_low_and_high() {
        let check = |shape, expected: [f64; 5]| {
            let curve = Curve::Shape { shape, low: 10.0, high: 110.0, seconds: 100.0 };
            let rates = [0.0, 25.0, 50.0, 75.0, 100.0].map(|at| curve.rate_at(at).round());
            assert_eq!(rates, expected, "{shape:?}");
        };
        check(Shape::Constant, [110.0; 5]);
        check(Shape::Ramp, [10.0, 35.0, 60.0, 85.0, 110.0]);
        check(Shape::Spike, [10.0, 110.0, 110.0, 10.0, 10.0]);
        check(Shape::Diurnal, [10.0, 60.0, 110.0, 60.0, 10.0]);
    }
}
