//! Amounts of money as integers, so that a bill adds up the same in every order.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

use serde::{Serialize, Serializer};

/// Millionths of the currency's unit (micro-dollars); the currency is the price sheet's. Negative in differences.
///
/// Sums saturate at about nine trillion dollars, which no platform here costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    pub const ZERO: Money = Money(0);

    pub const fn from_micros(micros: i64) -> Money {
        Money(micros)
    }

    pub const fn from_cents(cents: i64) -> Money {
        Money(cents.saturating_mul(10_000))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole cents, half a cent rounded away from zero, as invoices do.
    pub fn cents(self) -> i64 {
        // Not by adding half a cent first, which the largest amounts have no room for.
        self.0 / 10_000 + self.0 % 10_000 / 5_000
    }

    /// For plots and JSON only; never calculate with it.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(self.0.saturating_neg())
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

/// `12.41`, without the currency; `{:+}` gives a difference its sign.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.cents();
        let digits = format!("{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        f.pad_integral(cents >= 0, "", &digits)
    }
}

/// A number with at most six decimals, e.g. `30.368`.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(micros: i64, plain: &str, signed: &str) {
        let money = Money::from_micros(micros);
        assert_eq!((format!("{money}"), format!("{money:+}")), (plain.to_owned(), signed.to_owned()), "{micros}");
    }

    #[test]
    fn cents_are_rounded_half_away_from_zero() {
        check(0, "0.00", "+0.00");
        check(12_410_000, "12.41", "+12.41");
        check(30_368_000, "30.37", "+30.37");
        check(4_999, "0.00", "+0.00");
        check(5_000, "0.01", "+0.01");
        check(-5_000, "-0.01", "-0.01");
        check(-1_230_000, "-1.23", "-1.23");
        check(i64::MAX, "9223372036854.78", "+9223372036854.78");
        assert_eq!(format!("{:>10}|", Money::from_cents(-150)), "     -1.50|");
    }

    #[test]
    fn sums_are_exact_and_never_wrap() {
        let tenth = Money::from_cents(10);
        assert_eq!(std::iter::repeat_n(tenth, 1_000_000).sum::<Money>(), Money::from_cents(10_000_000));
        assert_eq!(Money::from_micros(i64::MAX) + tenth, Money::from_micros(i64::MAX));
        assert_eq!(tenth - Money::from_cents(25), -Money::from_cents(15));
    }
}
