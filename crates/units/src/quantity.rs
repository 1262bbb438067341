//! Kubernetes quantities: `100m`, `1.5`, `128Mi`, `1e3`, as `k8s.io/apimachinery/pkg/api/resource` reads and prints them.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// CPU in thousandths of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicores(pub i64);

/// Memory or storage in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub i64);

macro_rules! arithmetic {
    ($($unit:ident),*) => {$(
        impl Add for $unit {
            type Output = $unit;
            fn add(self, other: $unit) -> $unit { $unit(self.0.saturating_add(other.0)) }
        }
        impl Sub for $unit {
            type Output = $unit;
            fn sub(self, other: $unit) -> $unit { $unit(self.0.saturating_sub(other.0)) }
        }
        impl AddAssign for $unit {
            fn add_assign(&mut self, other: $unit) { *self = *self + other; }
        }
        impl SubAssign for $unit {
            fn sub_assign(&mut self, other: $unit) { *self = *self - other; }
        }
        impl std::iter::Sum for $unit {
            fn sum<I: Iterator<Item = $unit>>(items: I) -> $unit { items.fold($unit(0), Add::add) }
        }
    )*};
}
arithmetic!(Millicores, Bytes);

/// How a quantity was written, which decides how its canonical form is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// A Kubernetes quantity: an exact number in units of 10⁻⁹ and the format it was written in. Smaller fractions round
/// up, away from zero, and values beyond 2⁶³−1 saturate, as upstream's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError(pub String);

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a quantity such as 250m, 1.5, 128Mi or 1e3", self.0)
    }
}

impl std::error::Error for QuantityError {}

const NANO: i128 = 1_000_000_000;
const LIMIT: i128 = i64::MAX as i128 * NANO;

impl Quantity {
    pub fn from_millis(millis: i64) -> Quantity {
        Quantity { nanos: i128::from(millis) * 1_000_000, format: Format::DecimalSi }
    }

    pub fn from_bytes(bytes: i64) -> Quantity {
        Quantity { nanos: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// In thousandths, rounded up as `Quantity.MilliValue` does.
    pub fn millis(self) -> i64 {
        ceil_to_i64(self.nanos, 1_000_000)
    }

    /// In whole units, rounded up as `Quantity.Value` does.
    pub fn value(self) -> i64 {
        ceil_to_i64(self.nanos, NANO)
    }

    pub fn millicores(self) -> Millicores {
        Millicores(self.millis())
    }

    pub fn bytes(self) -> Bytes {
        Bytes(self.value())
    }

    /// As Go's `AsApproximateFloat64`: for fractions such as tolerances, never for sums.
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }
}

fn ceil_to_i64(nanos: i128, unit: i128) -> i64 {
    // Upstream rounds away from zero on both sides (`inf.RoundUp`).
    let quotient = nanos / unit;
    let rounded = if nanos % unit == 0 { quotient } else { quotient + nanos.signum() };
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        let error = || QuantityError(text.to_owned());
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = unsigned.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, suffix) = unsigned.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(error());
        }
        let (format, base, exponent) = parse_suffix(suffix).ok_or_else(error)?;
        let magnitude = scale(whole, fraction, base, exponent);
        let nanos = if negative { -magnitude } else { magnitude };
        Ok(Quantity { nanos, format })
    }
}

fn parse_suffix(suffix: &str) -> Option<(Format, i128, i32)> {
    let decimal = |exponent| Some((Format::DecimalSi, 10, exponent));
    let binary = |exponent| Some((Format::BinarySi, 2, exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.parse().ok()?;
            Some((Format::DecimalExponent, 10, exponent))
        }
    }
}

/// `whole.fraction × base^exponent` in units of 10⁻⁹, rounded up and saturated.
fn scale(whole: &str, fraction: &str, base: i128, exponent: i32) -> i128 {
    let mut digits: i128 = 0;
    let mut decimals: i32 = 0;
    let mut lost = false;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        match digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(digit - b'0'))) {
            Some(next) if next < 10_i128.pow(34) => {
                digits = next;
                decimals += i32::from(index >= whole.len());
            }
            _ if index < whole.len() => return LIMIT,
            _ => lost |= digit != b'0',
        }
    }
    let mut power = 9 - decimals;
    let mut value = digits;
    if base == 2 {
        match value.checked_mul(1_i128 << exponent) {
            Some(scaled) => value = scaled,
            None => return LIMIT,
        }
    } else {
        power = power.saturating_add(exponent);
    }
    while power > 0 {
        if value > LIMIT || value == 0 {
            break;
        }
        value *= 10;
        power -= 1;
    }
    while power < 0 && (value != 0 || lost) {
        lost |= value % 10 != 0;
        value /= 10;
        power += 1;
        if value == 0 {
            break;
        }
    }
    (value + i128::from(lost)).min(LIMIT)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.nanos % NANO == 0 && (self.nanos / NANO).abs() >= 1024 {
            let mut value = self.nanos / NANO;
            let mut suffix = "";
            for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
                if value % 1024 != 0 {
                    break;
                }
                value /= 1024;
                suffix = next;
            }
            return write!(f, "{value}{suffix}");
        }
        let mut value = self.nanos;
        let mut exponent = -9;
        while value % 1000 == 0 && exponent < 18 {
            value /= 1000;
            exponent += 3;
        }
        match (self.format, exponent) {
            (_, 0) => write!(f, "{value}"),
            (Format::DecimalExponent, _) => write!(f, "{value}e{exponent}"),
            _ => {
                let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][((exponent + 9) / 3) as usize];
                write!(f, "{value}{suffix}")
            }
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, millis: i64, canonical: &str) {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!(quantity.millis(), millis, "{text}");
        assert_eq!(quantity.to_string(), canonical, "{text}");
    }

    #[test]
    fn reads_and_prints_as_upstream_does() {
        check("100m", 100, "100m");
        check("0.1", 100, "100m");
        check("1.5", 1500, "1500m");
        check("2", 2000, "2");
        check("1000m", 1000, "1");
        check("1e3", 1_000_000, "1e3");
        check("1k", 1_000_000, "1k");
        check("0.5Gi", 536_870_912_000, "512Mi");
        check("1024Mi", 1_073_741_824_000, "1Gi");
        check("1500Ki", 1_536_000_000, "1500Ki");
        check("-2m", -2, "-2m");
        check("0", 0, "0");
        check("1n", 1, "1n");
        check("0.0000000001", 1, "1n");
        check("5E", i64::MAX, "5E");
    }

    #[test]
    fn refuses_what_upstream_refuses() {
        for text in ["", "m", "1.2.3", "1mm", "1 Gi", "Ki", "1e", "--1", ".", "0x10"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
