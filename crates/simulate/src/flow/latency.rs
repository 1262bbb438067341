//! Distributions of response times, tabulated.
//!
//! A response time is known by its mean and its coefficient of variation. Up to 1 it is an exponential behind a constant, above
//! 1 a mixture of two exponentials with balanced means; both are exact where the queueing model is. Everything is looked
//! up in tables over the logarithm of the time, so that a minute costs a few additions and no exponential.

/// Steps of the tables in a doubling of the time.
const STEPS: usize = 8;
/// Coefficients of variation from 0 to 2.
const LEVELS: usize = 65;
/// Tables reach from 2⁻⁸ to 2⁶ of the mean.
const BELOW: usize = 8 * STEPS;
const ROW: usize = 14 * STEPS + 1;
/// The histogram's edges lie at 2^(−13 + index/8) seconds: from 0.12 ms to 512 s.
const EDGES: usize = 22 * STEPS + 1;
const FIRST_EDGE: f64 = -13.0;

/// Of one workload in one state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Response {
    /// Seconds.
    pub(crate) mean: f64,
    level: u8,
    /// Place of the mean among the histogram's edges.
    position: f64,
}

impl Response {
    /// Before anybody has worked it out.
    pub(crate) const UNKNOWN: Response = Response { mean: 0.0, level: 0, position: 0.0 };

    /// From mean and variance in seconds.
    pub(crate) fn new(mean: f64, variance: f64) -> Response {
        let mean = mean.max(1e-4);
        let variation = (variance.max(0.0).sqrt() / mean).min(2.0);
        let level = (variation * (LEVELS - 1) as f64 / 2.0 + 0.5) as u8;
        Response { mean, level, position: (libm::log2(mean) - FIRST_EDGE) * STEPS as f64 }
    }
}

pub(crate) struct Tables {
    rows: Vec<[f64; ROW]>,
    /// p50, p95 and p99 in means, by level.
    quantiles: Vec<[f64; 3]>,
    /// By level: the entries outside which the row is as good as 0 and as good as 1.
    spans: Vec<(usize, usize)>,
}

/// Shares below this change no percentile.
const NOTHING: f64 = 1e-7;

impl Tables {
    pub(crate) fn new() -> Tables {
        let variation = |level: usize| 2.0 * level as f64 / (LEVELS - 1) as f64;
        let row = |level: usize| {
            let law = Law::new(variation(level));
            std::array::from_fn(|index| law.below(libm::exp2((index as f64 - BELOW as f64) / STEPS as f64)))
        };
        let quantiles = |level: usize| {
            let law = Law::new(variation(level));
            [0.5, 0.95, 0.99].map(|share| law.quantile(share))
        };
        let rows: Vec<[f64; ROW]> = (0..LEVELS).map(row).collect();
        let span = |row: &[f64; ROW]| {
            let first = row.iter().position(|share| *share > NOTHING).unwrap_or(0);
            let last = row.iter().position(|share| *share > 1.0 - NOTHING).unwrap_or(ROW - 1);
            (first.saturating_sub(1), last)
        };
        Tables { spans: rows.iter().map(span).collect(), rows, quantiles: (0..LEVELS).map(quantiles).collect() }
    }

    /// p50, p95 or p99 (0 to 2), in seconds.
    pub(crate) fn quantile(&self, response: &Response, which: usize) -> f64 {
        self.quantiles[usize::from(response.level)][which] * response.mean
    }

    /// The share of responses that take longer than so many seconds.
    pub(crate) fn longer(&self, response: &Response, log2_seconds: f64) -> f64 {
        let place = (log2_seconds - FIRST_EDGE) * STEPS as f64 - response.position + BELOW as f64;
        1.0 - lookup(&self.rows[usize::from(response.level)], place)
    }
}

fn lookup(row: &[f64; ROW], place: f64) -> f64 {
    if place <= 0.0 {
        return row[0];
    }
    let index = place as usize;
    if index + 1 >= ROW {
        return 1.0;
    }
    let share = place - index as f64;
    row[index] + (row[index + 1] - row[index]) * share
}

/// With mean 1.
enum Law {
    /// A constant, then an exponential of so much.
    Shifted {
        constant: f64,
        tail: f64,
    },
    Mixture {
        share: f64,
        fast: f64,
        slow: f64,
    },
}

impl Law {
    fn new(variation: f64) -> Law {
        if variation <= 1.0 {
            return Law::Shifted { constant: 1.0 - variation, tail: variation };
        }
        let scv = variation * variation;
        let share = 0.5 * (1.0 + libm::sqrt((scv - 1.0) / (scv + 1.0)));
        Law::Mixture { share, fast: 2.0 * share, slow: 2.0 * (1.0 - share) }
    }

    fn below(&self, time: f64) -> f64 {
        match *self {
            Law::Shifted { constant, .. } if time < constant => 0.0,
            Law::Shifted { constant, tail } if tail <= 0.0 => f64::from(time >= constant),
            Law::Shifted { constant, tail } => 1.0 - libm::exp(-(time - constant) / tail),
            Law::Mixture { share, fast, slow } => {
                1.0 - share * libm::exp(-fast * time) - (1.0 - share) * libm::exp(-slow * time)
            }
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let (mut low, mut high) = (0.0, 64.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.below(middle) < share { low = middle } else { high = middle }
        }
        high
    }
}

/// How many requests were answered within which time.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    /// By edge: requests answered within it.
    within: [f64; EDGES],
    /// By edge: requests whose distribution ends before it, to be added to it and all after.
    ended: [f64; EDGES + 1],
    total: f64,
    /// Room to work in.
    shares: [f64; EDGES],
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { within: [0.0; EDGES], ended: [0.0; EDGES + 1], total: 0.0, shares: [0.0; EDGES] }
    }

    /// Requests that take as long as the slowest of their parts; parts are independent of each other.
    pub(crate) fn add(&mut self, tables: &Tables, weight: f64, parts: &[Response]) {
        if weight <= 0.0 || parts.is_empty() {
            return;
        }
        self.total += weight;
        let (mut from, mut to) = (0_usize, 0_usize);
        for part in parts {
            let (first, last) = tables.spans[usize::from(part.level)];
            from = from.max((part.position + first as f64 - BELOW as f64).max(0.0) as usize);
            to = to.max((part.position + last as f64 + 2.0 - BELOW as f64).max(0.0) as usize);
        }
        let (from, to) = (from.min(EDGES), to.min(EDGES));
        self.ended[to] += weight;
        let from = from.min(to);
        let shares = &mut self.shares[from..to];
        shares.fill(weight);
        for part in parts {
            let row = &tables.rows[usize::from(part.level)];
            // All edges lie at the same distance behind an entry of the table.
            let place = BELOW as f64 - part.position;
            let (offset, rest) = (place.floor() as isize + from as isize, place - place.floor());
            // Before the table nothing has ended, behind it everything has.
            let before = offset.min(0).unsigned_abs().min(shares.len());
            shares[..before].fill(0.0);
            let first = offset.max(0).unsigned_abs().min(ROW - 1);
            for (share, (low, high)) in shares[before..].iter_mut().zip(row[first..].iter().zip(&row[first + 1..])) {
                *share *= low + (high - low) * rest;
            }
        }
        for (within, share) in self.within[from..to].iter_mut().zip(shares.iter()) {
            *within += share;
        }
    }

    /// Seconds within which this share of the requests was answered; `None` without requests.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let wanted = share * self.total;
        let (mut ended, mut before) = (0.0, 0.0);
        for edge in 0..EDGES {
            ended += self.ended[edge];
            let within = self.within[edge] + ended;
            if within >= wanted {
                let part = if within > before { (wanted - before) / (within - before) } else { 1.0 };
                let place = FIRST_EDGE + (edge as f64 - 1.0 + part) / STEPS as f64;
                return Some(libm::exp2(place));
            }
            before = within;
        }
        Some(libm::exp2(FIRST_EDGE + (EDGES - 1) as f64 / STEPS as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[Response], share: f64, expected: f64) {
        let tables = Tables::new();
        let mut histogram = Histogram::new();
        histogram.add(&tables, 10.0, parts);
        let seen = histogram.quantile(share).unwrap();
        assert!((seen / expected - 1.0).abs() < 0.01, "{share}: {seen} for {expected}");
    }

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        let exponential = Response::new(0.02, 0.02 * 0.02);
        check(&[exponential], 0.5, 0.02 * core::f64::consts::LN_2);
        check(&[exponential], 0.99, 0.02 * 100.0_f64.ln());
        // A constant of half the mean in front of an exponential.
        check(&[Response::new(0.02, 0.0001)], 0.95, 0.01 + 0.01 * 20.0_f64.ln());
        // The slower of two: (1 − e^−x)² = 0.99.
        check(&[exponential, exponential], 0.99, -0.02 * (1.0 - 0.99_f64.sqrt()).ln());
        // A constant falls between two edges.
        let constant = Response::new(0.02, 0.0);
        assert!(constant.level == 0 && Tables::new().quantile(&constant, 0) == 0.02);
    }

    #[test]
    fn a_state_has_the_same_quantiles_by_itself() {
        let tables = Tables::new();
        let response = Response::new(0.1, 0.02);
        let p99 = tables.quantile(&response, 2);
        assert!((tables.longer(&response, libm::log2(p99)) - 0.01).abs() < 0.001);
        check(&[response], 0.99, p99);
    }
}
