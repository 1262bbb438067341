//! Burst credits: one is one vCPU for a minute (`platform::Credits` has the source).

use platform::Size;

/// The CPU of a machine over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Cores.
    pub(crate) full: f64,
    pub(crate) credits: Option<Bank>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank {
    /// Cores that cost nothing.
    base: f64,
    most: f64,
    /// vCPU minutes.
    pub(crate) left: f64,
    /// It is empty, and more than the base is asked for.
    pub(crate) throttled: bool,
}

impl Cpu {
    pub(crate) fn new(size: &Size) -> Cpu {
        let bank = |credits: platform::Credits| Bank {
            base: credits.base.0 as f64 / 1000.0,
            most: credits.max as f64,
            left: credits.initial as f64,
            throttled: false,
        };
        Cpu { full: size.cpu_capacity().0 as f64 / 1000.0, credits: size.credits.map(bank) }
    }

    /// What it can do at present.
    pub(crate) fn available(&self) -> f64 {
        match &self.credits {
            Some(bank) if bank.throttled => bank.base,
            _ => self.full,
        }
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.credits.is_some_and(|bank| bank.throttled)
    }

    /// So many cores were used for so many milliseconds.
    pub(crate) fn spend(&mut self, used: f64, millis: i64) {
        if let Some(bank) = &mut self.credits {
            bank.left = (bank.left + (bank.base - used) * millis as f64 / 60_000.0).clamp(0.0, bank.most);
            // What is left after the instant at which it ran dry is rounding.
            if bank.left < 1e-6 {
                bank.left = 0.0;
            }
        }
    }

    /// So many cores are asked for from now on.
    pub(crate) fn demand(&mut self, wanted: f64) {
        if let Some(bank) = &mut self.credits {
            bank.throttled = bank.left <= 0.0 && wanted > bank.base;
        }
    }

    /// Milliseconds until the credits are gone at this use.
    pub(crate) fn lasts(&self, used: f64) -> Option<i64> {
        let bank = self.credits.as_ref().filter(|bank| !bank.throttled && used > bank.base)?;
        let minutes = bank.left / (used - bank.base);
        (minutes < 1e9).then(|| (minutes * 60_000.0) as i64 + 1)
    }

    pub(crate) fn drain(&mut self) {
        if let Some(bank) = &mut self.credits {
            bank.left = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_b2s_bursts_for_37_minutes_and_keeps_two_fifths_of_a_core() {
        let mut cpu = Cpu::new(&Size::find("Standard_B2s").unwrap());
        cpu.demand(2.0);
        let lasts = cpu.lasts(2.0).unwrap();
        assert_eq!(lasts / 1000, 37 * 60 + 30);
        cpu.spend(2.0, lasts);
        cpu.demand(2.0);
        assert!((cpu.available() - 0.4).abs() < 1e-9 && cpu.lasts(0.4).is_none());
        // Empty to full in 24 hours of idleness.
        cpu.demand(0.0);
        cpu.spend(0.0, 24 * 3_600_000);
        assert!((cpu.credits.unwrap().left - 576.0).abs() < 1e-6 && cpu.available() == 2.0);
    }
}
