//! Prices of one unit, as exact integers.

use std::fmt;

/// Billionths of the currency's unit: the Retail Prices API states as many as nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitPrice(u64);

const DECIMALS: i32 = 9;

impl UnitPrice {
    pub const ZERO: UnitPrice = UnitPrice(0);

    pub const fn from_nanos(nanos: u64) -> UnitPrice {
        UnitPrice(nanos)
    }

    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Reads a plain or scientific decimal (`0.0416`, `4e-7`); digits after the ninth decimal are rounded half up.
    /// `None` for what is negative, not a number, or above eighteen billion.
    pub fn parse(text: &str) -> Option<UnitPrice> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| e.abs() <= 40)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
        let scale = DECIMALS + exponent - i32::try_from(fraction.len()).ok()?;
        let power = 10_u128.checked_pow(scale.unsigned_abs());
        let nanos = match (scale >= 0, power) {
            (true, power) => digits.checked_mul(power?)?,
            // A divisor beyond the type's range leaves nothing of any number that fits it.
            (false, None) => 0,
            (false, Some(power)) => (digits + power / 2) / power,
        };
        u64::try_from(nanos).ok().map(UnitPrice)
    }
}

/// `0.0416`: at least two decimals, no needless zeros.
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        while text.ends_with('0') && !text[text.len() - 3..].starts_with('.') {
            text.pop();
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u64, &str)>) {
        let price = UnitPrice::parse(text);
        assert_eq!(
            price.map(|price| (price.nanos(), price.to_string())),
            expected.map(|(n, t)| (n, t.to_owned())),
            "{text}"
        );
    }

    #[test]
    fn decimals_are_read_exactly_and_printed_shortly() {
        check("0.0416", Some((41_600_000, "0.0416")));
        check("19.71", Some((19_710_000_000, "19.71")));
        check("0", Some((0, "0.00")));
        check("0.10", Some((100_000_000, "0.10")));
        check("4e-7", Some((400, "0.0000004")));
        check("1.5E1", Some((15_000_000_000, "15.00")));
        check("0.00000000049", Some((0, "0.00")));
        check("0.0000000005", Some((1, "0.000000001")));
        check("1e-40", Some((0, "0.00")));
        for wrong in ["", "-1", "NaN", "inf", "1,5", ".5", "1e99", "99999999999", "1.2.3", "0x1", "1e", " 1"] {
            check(wrong, None);
        }
    }
}
