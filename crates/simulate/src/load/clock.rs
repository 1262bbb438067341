//! Times as traces write them.

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Milliseconds since the Unix epoch of an RFC 3339 instant, a civil time with or without an offset, or a Unix time in
/// seconds, milliseconds, microseconds or nanoseconds. `offset_seconds` is for times that name none.
pub(super) fn instant(text: &str, offset_seconds: i32) -> Option<i64> {
    if let Some(instant) = unix(text) {
        return Some(instant);
    }
    // ISO 8601 with a blank instead of the T, and a blank before the offset, are as common as the standard.
    let joined = text.replacen(' ', "T", 1).replace(' ', "").replace("UTC", "Z");
    if let Ok(instant) = joined.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    if let Some(instant) = with_short_offset(&joined) {
        return Some(instant);
    }
    let civil = joined.parse::<DateTime>().ok()?;
    let offset = Offset::from_seconds(offset_seconds).ok()?;
    Some(offset.to_timestamp(civil).ok()?.as_millisecond())
}

/// `+0200` and `+02`, which RFC 3339 does not know.
fn with_short_offset(text: &str) -> Option<i64> {
    let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
    let (civil, zone) = text.split_at(at);
    let offset = Offset::from_seconds(self::offset(zone)?).ok()?;
    Some(offset.to_timestamp(civil.parse::<DateTime>().ok()?).ok()?.as_millisecond())
}

/// Seconds east of UTC of `+02:00`, `+0200`, `-7`, `Z`, `UTC`.
pub(super) fn offset(text: &str) -> Option<i32> {
    if ["Z", "z", "UTC", "GMT"].contains(&text) {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let number = |text: &str| text.parse::<i32>().ok();
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// By magnitude: seconds until the year 5138, then milliseconds, microseconds, nanoseconds.
fn unix(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let millis = match number {
        n if n < 1e11 => n * 1000.0,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1000.0,
        n => n / 1e6,
    };
    (millis < 9e15).then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, offset_seconds: i32, expected: Option<i64>) {
        assert_eq!(instant(text, offset_seconds), expected, "{text}");
    }

    #[test]
    fn common_forms_are_understood() {
        let noon = 1_700_049_600_000; // 2023-11-15T12:00:00Z
        for text in [
            "2023-11-15T12:00:00Z",
            "2023-11-15 12:00:00",
            "2023-11-15 12:00",
            "2023-11-15 14:00:00+02:00",
            "2023-11-15 14:00:00 +0200",
            "2023-11-15T12:00:00.000Z",
            "2023-11-15 12:00:00 UTC",
            "1700049600",
            "1700049600.0",
            "1700049600000",
        ] {
            check(text, 0, Some(noon));
        }
        check("2023-11-15 14:00:00", 7200, Some(noon));
        check("2023-11-15", 0, Some(noon - 43_200_000));
        check("yesterday", 0, None);
        check("", 0, None);
        assert_eq!(offset("-03:30"), Some(-12_600));
        assert_eq!(offset("Europe/Madrid"), None);
    }
}
