//! The one source of chance: seeded, and the same on every machine.

use units::Millis;

use crate::scenario::Boot;

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed ^ 0x6A09_E667_F3BC_C909)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, neither of them.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// Exponentially distributed with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    fn normal(&mut self) -> f64 {
        libm::sqrt(2.0 * self.exponential()) * libm::cos(core::f64::consts::TAU * self.uniform())
    }

    /// Lognormal with the given median and 95th percentile.
    pub(crate) fn boot(&mut self, boot: &Boot) -> Millis {
        const NORMAL_95: f64 = 1.644_853_626_951_472_7;
        let (median, p95) = (boot.median.0 as f64, boot.p95.0 as f64);
        let sigma = libm::log(p95 / median) / NORMAL_95;
        Millis((median * libm::exp(sigma * self.normal())) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_have_the_median_and_the_95th_percentile_that_were_asked_for() {
        let mut random = Random::new(1);
        let boot = Boot { median: Millis(140_000), p95: Millis(300_000) };
        let mut drawn: Vec<i64> = (0..20_000).map(|_| random.boot(&boot).0).collect();
        drawn.sort_unstable();
        assert!((drawn[10_000] - 140_000).abs() < 3_000, "{}", drawn[10_000]);
        assert!((drawn[19_000] - 300_000).abs() < 9_000, "{}", drawn[19_000]);
    }
}
