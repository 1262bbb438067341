//! Instants and durations as integers, so that decisions are exact and reproducible.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in whole milliseconds; may be negative as the difference of two instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    pub const ZERO: Millis = Millis(0);

    pub const fn from_secs(seconds: i64) -> Millis {
        Millis(seconds * 1000)
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Add for Millis {
    type Output = Millis;
    fn add(self, other: Millis) -> Millis {
        Millis(self.0 + other.0)
    }
}

impl Sub for Millis {
    type Output = Millis;
    fn sub(self, other: Millis) -> Millis {
        Millis(self.0 - other.0)
    }
}

/// An instant: milliseconds since the Unix epoch. In simulations the epoch is the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A text that is not an RFC 3339 instant.
#[derive(Debug, PartialEq, Eq)]
pub struct TimestampError(pub String);

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an RFC 3339 instant such as 2026-11-23T10:00:00Z", self.0)
    }
}

impl std::error::Error for TimestampError {}

impl Timestamp {
    pub const fn from_secs(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    /// Whole seconds since the epoch, rounded down as Kubernetes truncates `metav1.Time`.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant with its fraction of a second dropped, as it looks after a trip through the Kubernetes API.
    pub fn truncated(self) -> Timestamp {
        Timestamp::from_secs(self.secs())
    }

    /// # Errors
    /// When the text is not an RFC 3339 instant.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        text.parse::<jiff::Timestamp>().map(Timestamp::from).map_err(|_| TimestampError(text.to_owned()))
    }

    /// `2026-11-23T10:00:00Z`: seconds, as `metav1.Time` prints them.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from(self.truncated()).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2026-11-23T10:00:00.123000Z`: microseconds, as `metav1.MicroTime` prints them.
    pub fn rfc3339_micros(self) -> String {
        jiff::Timestamp::from(self).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(instant: jiff::Timestamp) -> Timestamp {
        Timestamp(instant.as_millisecond())
    }
}

impl From<Timestamp> for jiff::Timestamp {
    /// Saturates outside the years −9999 to 9999, which no clock reaches.
    fn from(instant: Timestamp) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(instant.0).unwrap_or(if instant.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl Add<Millis> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;
    fn sub(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339_micros())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_both_kubernetes_forms() {
        let instant = Timestamp(1_790_000_000_123);
        assert_eq!(instant.rfc3339(), "2026-09-21T14:13:20Z");
        assert_eq!(instant.rfc3339_micros(), "2026-09-21T14:13:20.123000Z");
        assert_eq!(Timestamp::parse(&instant.rfc3339_micros()), Ok(instant));
        assert_eq!(Timestamp::parse(&instant.rfc3339()), Ok(instant.truncated()));
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
