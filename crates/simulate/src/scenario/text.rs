//! Values as people write them in a scenario: `12ms`, `96Mi`, `0.1%`, `30d`.

use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use units::{Bytes, Millicores, Millis, Quantity};

/// A text or a number, before it is known what it stands for.
struct TextVisitor(&'static str);

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.trim().to_owned())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// A hundred years: longer spans would only overflow.
const LONGEST_SECONDS: f64 = 3.2e9;

/// Seconds of `1d12h`, `90s`, `12ms`, `250us`; a number without unit is refused, since nobody agrees on it.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let bad = || format!("`{text}` is not a duration such as 12ms, 90s, 15m, 6h or 30d");
    if text == "0" {
        return Ok(0.0);
    }
    let (mut rest, mut total) = (text, 0.0);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(bad()),
        };
        rest = &rest[letters..];
        total += number * unit;
    }
    if total <= LONGEST_SECONDS { Ok(total) } else { Err(format!("`{text}` is longer than a hundred years")) }
}

pub(crate) fn duration_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = deserializer.deserialize_any(TextVisitor("a duration such as 12ms, 90s or 30d"))?;
    seconds(&text).map_err(D::Error::custom)
}

pub(crate) fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    duration_seconds(deserializer).map(Some)
}

/// Whole milliseconds.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    duration_seconds(deserializer).map(millis)
}

pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    duration(deserializer).map(Some)
}

pub(crate) fn millis(seconds: f64) -> Millis {
    Millis((seconds * 1000.0 + 0.5) as i64)
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<Quantity, D::Error> {
    let text = deserializer.deserialize_any(TextVisitor(expected))?;
    let quantity: Quantity = text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not {expected}")))?;
    if quantity.is_negative() {
        return Err(D::Error::custom(format!("`{text}` is less than nothing")));
    }
    Ok(quantity)
}

pub(crate) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    Ok(quantity(deserializer, "an amount of memory such as 96Mi")?.bytes())
}

pub(crate) fn millicores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millicores, D::Error> {
    Ok(quantity(deserializer, "an amount of CPU such as 200m")?.millicores())
}

/// A fraction from `0.1%` or `0.001`.
pub(crate) fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = deserializer.deserialize_any(TextVisitor("a share such as 0.1%"))?;
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 0.01),
        None => (text.as_str(), 1.0),
    };
    match number.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&(value * unit)) => Ok(value * unit),
        _ => Err(D::Error::custom(format!("`{text}` is not a share between 0% and 100%"))),
    }
}

pub(crate) fn optional_fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    fraction(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<f64, &str>) {
        match (seconds(text), expected) {
            (Ok(seen), Ok(expected)) => assert!((seen - expected).abs() < 1e-9, "{text}: {seen}"),
            (Err(seen), Err(expected)) => assert!(seen.contains(expected), "{text}: {seen}"),
            (seen, _) => panic!("{text}: {seen:?}"),
        }
    }

    #[test]
    fn durations_need_a_unit() {
        check("12ms", Ok(0.012));
        check("1d12h", Ok(129_600.0));
        check("1.5h", Ok(5400.0));
        check("250us", Ok(0.00025));
        check("0", Ok(0.0));
        check("30", Err("not a duration"));
        check("", Err("not a duration"));
        check("-5s", Err("not a duration"));
        check("5000w5y", Err("not a duration"));
        check("99999w", Err("hundred years"));
    }
}
