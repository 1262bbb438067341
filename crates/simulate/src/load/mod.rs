//! The offered load: requests per second at every instant, by route.

mod clock;
mod csv;
mod document;
mod prometheus;
mod shape;

use units::Millis;

pub use csv::read_csv;
pub use document::{CsvOptions, GapFill, LoadDocument, ReadFile, Source, Unit};
pub use prometheus::read_prometheus;
pub use shape::Shape;

/// No web platform of this kind serves more; a larger figure is a mistake.
pub const MOST_PER_SECOND: f64 = 1e7;

/// A rate that is constant between steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// (milliseconds from the start, requests per second), in the order of time.
    steps: Vec<(i64, f64)>,
    /// After which it begins anew; `None`: the last step holds.
    length: Option<Millis>,
}

impl Curve {
    /// Steps that follow each other; equal neighbours become one.
    pub fn new(steps: impl IntoIterator<Item = (i64, f64)>, length: Option<Millis>) -> Curve {
        let mut kept: Vec<(i64, f64)> = Vec::new();
        for (at, rate) in steps {
            match kept.last_mut() {
                Some(last) if last.0 == at => last.1 = rate,
                Some(last) if last.1.to_bits() == rate.to_bits() => {}
                _ => kept.push((at, rate)),
            }
        }
        Curve { steps: kept, length }
    }

    pub fn constant(rate: f64) -> Curve {
        Curve::new([(0, rate)], None)
    }

    pub fn length(&self) -> Option<Millis> {
        self.length
    }

    pub fn steps(&self) -> &[(i64, f64)] {
        &self.steps
    }

    /// Multiplies every rate.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Curve {
        self.steps.iter_mut().for_each(|step| step.1 *= factor);
        self
    }

    pub fn peak(&self) -> f64 {
        self.steps.iter().map(|step| step.1).fold(0.0, f64::max)
    }

    /// The part between two instants, as a curve that starts at nought.
    #[must_use]
    pub fn between(&self, from: Millis, to: Millis) -> Curve {
        let mut walk = Walk::at(self, from.0);
        let mut steps = vec![(0, walk.rate())];
        while let Some(at) = walk.next_change().filter(|at| *at < to.0) {
            walk.advance(at);
            steps.push((at - from.0, walk.rate()));
        }
        Curve::new(steps, Some(to - from))
    }
}

/// One route of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Of the ingress, e.g. `/api`; `*` for a load without routes.
    pub path: String,
    /// Who serves it; `None`: every workload that has work, each with its share.
    pub workload: Option<String>,
    pub curve: Curve,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    routes: Vec<Route>,
    /// What was repaired or assumed in reading it, a sentence each.
    pub notes: Vec<String>,
}

impl Load {
    /// One stream of requests, each of which asks every workload.
    pub fn whole(curve: Curve) -> Load {
        Load { routes: vec![Route { path: "*".to_owned(), workload: None, curve }], notes: Vec::new() }
    }

    pub fn of_routes(routes: Vec<Route>) -> Load {
        Load { routes, notes: Vec::new() }
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Of the longest trace.
    pub fn length(&self) -> Option<Millis> {
        self.routes.iter().filter_map(|route| route.curve.length()).max()
    }

    #[must_use]
    pub fn between(&self, from: Millis, to: Millis) -> Load {
        let part = |route: &Route| Route { curve: route.curve.between(from, to), ..route.clone() };
        Load { routes: self.routes.iter().map(part).collect(), notes: self.notes.clone() }
    }

    #[must_use]
    pub fn scaled(&self, factor: f64) -> Load {
        let scaled = |route: &Route| Route { curve: route.curve.clone().scaled(factor), ..route.clone() };
        Load { routes: self.routes.iter().map(scaled).collect(), notes: self.notes.clone() }
    }
}

/// A place on a curve that moves forward.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    curve: &'a Curve,
    index: usize,
    /// Start of the present repetition.
    base: i64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(curve: &'a Curve) -> Walk<'a> {
        Walk { curve, index: 0, base: 0 }
    }

    fn at(curve: &'a Curve, at: i64) -> Walk<'a> {
        let mut walk = Walk::new(curve);
        while let Some(next) = walk.next_change().filter(|next| *next <= at) {
            walk.advance(next);
        }
        walk
    }

    pub(crate) fn rate(&self) -> f64 {
        match self.curve.steps.get(self.index) {
            // A trace that begins later than the simulation has nothing before.
            Some(step) if self.index > 0 || self.base > 0 || step.0 == 0 => step.1,
            _ => 0.0,
        }
    }

    pub(crate) fn next_change(&self) -> Option<i64> {
        let within = self.curve.steps.get(self.index + 1).map(|step| self.base + step.0);
        within.or_else(|| {
            let length = self.curve.length?.0;
            (length > 0 && self.curve.steps.len() > 1).then_some(self.base + length)
        })
    }

    /// To the change that [`Walk::next_change`] named.
    pub(crate) fn advance(&mut self, at: i64) {
        if self.index + 1 < self.curve.steps.len() {
            self.index += 1;
        } else {
            self.index = 0;
            self.base = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(curve: &Curve, until: i64, expected: &[(i64, f64)]) {
        let mut walk = Walk::new(curve);
        let mut seen = vec![(0, walk.rate())];
        while let Some(at) = walk.next_change().filter(|at| *at < until) {
            walk.advance(at);
            seen.push((at, walk.rate()));
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_trace_repeats_and_a_shape_holds() {
        let trace = Curve::new([(0, 1.0), (10, 2.0), (20, 2.0)], Some(Millis(30)));
        check(&trace, 75, &[(0, 1.0), (10, 2.0), (30, 1.0), (40, 2.0), (60, 1.0), (70, 2.0)]);
        check(&Curve::new([(0, 1.0), (10, 2.0)], None), 75, &[(0, 1.0), (10, 2.0)]);
        check(&Curve::constant(3.0), 75, &[(0, 3.0)]);
    }

    #[test]
    fn a_part_starts_at_nought() {
        let trace = Curve::new([(0, 1.0), (10, 2.0), (20, 3.0)], Some(Millis(30)));
        let part = trace.between(Millis(15), Millis(35));
        assert_eq!(part.steps(), [(0, 2.0), (5, 3.0), (15, 1.0)]);
        assert_eq!(part.length(), Some(Millis(20)));
    }
}
