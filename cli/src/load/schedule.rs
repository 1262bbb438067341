//! When each request is due: the curve's integral, cut into whole requests.

use std::time::Duration;

use super::shape::Curve;

/// The curve is followed in steps of this length; a rate changes at most this late.
const STEP_SECONDS: f64 = 0.01;

/// Instants from the start at which requests are due, in order.
pub(super) struct Schedule<'a> {
    curve: &'a Curve,
    at_seconds: f64,
    /// The part of the next request that is already due.
    due: f64,
}

impl<'a> Schedule<'a> {
    pub fn new(curve: &'a Curve) -> Schedule<'a> {
        // Starting with a whole request sends the first one at once.
        Schedule { curve, at_seconds: 0.0, due: 1.0 }
    }
}

impl Iterator for Schedule<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        while self.at_seconds < self.curve.seconds() {
            if self.due >= 1.0 {
                self.due -= 1.0;
                return Some(Duration::from_secs_f64(self.at_seconds));
            }
            let rate = self.curve.rate_at(self.at_seconds);
            let until_due = if rate > 0.0 { (1.0 - self.due) / rate } else { f64::INFINITY };
            if until_due <= STEP_SECONDS {
                self.at_seconds += until_due;
                self.due = 1.0;
            } else {
                self.at_seconds += STEP_SECONDS;
                self.due += rate * STEP_SECONDS;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Shape;

    fn check(shape: Shape, low: f64, high: f64, expected: usize) {
        let curve = Curve::Shape { shape, low, high, seconds: 100.0 };
        let due: Vec<Duration> = Schedule::new(&curve).collect();
        assert!(due.windows(2).all(|pair| pair[0] <= pair[1]), "{shape:?} goes forward in time");
        let slack = expected / 100 + 2;
        assert!(due.len().abs_diff(expected) <= slack, "{shape:?}: {} requests instead of {expected}", due.len());
    }

    #[test]
    fn the_number_of_requests_is_the_area_under_the_curve() {
        check(Shape::Constant, 50.0, 50.0, 5000);
        check(Shape::Constant, 5000.0, 5000.0, 500_000);
        check(Shape::Ramp, 0.5, 100.0, 5025);
        check(Shape::Spike, 10.0, 100.0, 4600);
        check(Shape::Diurnal, 10.0, 30.0, 2000);
    }
}
