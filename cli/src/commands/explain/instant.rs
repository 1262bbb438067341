//! The instants that people name: `14:03`, `2026-11-26 14:03:20`, `10m` ago; in a timeline, time since its start.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use units::Timestamp;

use crate::error::{CliError, Result};

const FORMS: &str =
    "Name an instant as 14:03, 14:03:20, 2026-11-26T14:03:20Z, or how long ago as 90s, 10m or 2h. Clocks are UTC.";
const FORMS_OF_A_TIMELINE: &str =
    "Time is counted from the timeline's start: 14:03, 14:03:20, 2d14:03, 90s, 10m, 2h, or 14415 for seconds.";
const DAY_SECONDS: f64 = 86_400.0;

/// `now` decides which day a bare clock time belongs to: the latest that is not in the future.
///
/// # Errors
/// When the text is no instant, or one that has not come yet.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = || CliError::bad_input(format!("--at `{text}` is not an instant")).advice(FORMS);
    let found = if let Some(seconds) = span(text) {
        Timestamp(now.0 - (seconds * 1000.0) as i64)
    } else if let Some(time) = clock_time(text) {
        let today = jiff::Timestamp::from(now).to_zoned(TimeZone::UTC).date();
        let at = |date: Date| instant(date.to_datetime(time)).ok_or_else(wrong);
        let on_this_day = at(today)?;
        if on_this_day > now { at(today.yesterday().map_err(|_| wrong())?)? } else { on_this_day }
    } else if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        instant.into()
    } else {
        text.parse::<DateTime>().ok().and_then(instant).ok_or_else(wrong)?
    };
    if found > now {
        return Err(CliError::bad_input(format!("--at `{text}` has not come yet: it is {} now", clock(now)))
            .advice("`marea simulate --timeline FILE` decides what is to come; `marea explain --at … --timeline FILE` reads it."));
    }
    Ok(found)
}

/// The library would also take the time out of a whole date.
fn clock_time(text: &str) -> Option<Time> {
    text.parse().ok().filter(|_| text.len() <= "14:03:20".len())
}

fn instant(civil: DateTime) -> Option<Timestamp> {
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().into())
}

/// Seconds since a timeline's start.
///
/// # Errors
/// When the text is none of the forms.
pub fn parse_offset(text: &str) -> Result<f64> {
    let wrong =
        || CliError::bad_input(format!("--at `{text}` is not a time of the timeline")).advice(FORMS_OF_A_TIMELINE);
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.trim().parse::<u32>().map_err(|_| wrong())?, rest.trim()),
        None => (0, text.trim()),
    };
    let seconds = if rest.is_empty() && days > 0 {
        0.0
    } else if let Some(seconds) = span(rest) {
        seconds
    } else if let Ok(seconds) = rest.parse::<f64>() {
        seconds
    } else {
        of_clock(rest).ok_or_else(wrong)?
    };
    if !(seconds.is_finite() && seconds >= 0.0) {
        return Err(wrong());
    }
    Ok(f64::from(days) * DAY_SECONDS + seconds)
}

/// `27:00` is three o'clock of the second day: a timeline may be longer than a day.
fn of_clock(text: &str) -> Option<f64> {
    let mut seconds = 0;
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    for (place, part) in parts.iter().enumerate() {
        let number: u32 = part.parse().ok().filter(|number| place == 0 || *number < 60)?;
        seconds += number.checked_mul([3600, 60, 1][place])?;
    }
    Some(f64::from(seconds))
}

/// `90s`, `10m`, `2h`, each with an optional ` ago`.
fn span(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches("ago").trim_end();
    let unit = match text.chars().last()? {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return None,
    };
    let number: f64 = text[..text.len() - 1].trim().parse().ok()?;
    (number.is_finite() && (0.0..1e9).contains(&number)).then_some(number * unit)
}

/// `2026-11-26 14:03:20Z`
pub fn clock(instant: Timestamp) -> String {
    jiff::Timestamp::from(instant).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let now = Timestamp::parse("2026-11-26T14:10:00Z").unwrap();
        let check = |text: &str, expected: &str| assert_eq!(clock(parse(text, now).unwrap()), expected, "{text}");
        check("14:03", "2026-11-26 14:03:00Z");
        check("14:03:20", "2026-11-26 14:03:20Z");
        check("23:59", "2026-11-25 23:59:00Z");
        check("2026-11-20T08:00:00+01:00", "2026-11-20 07:00:00Z");
        check("2026-11-20 08:00", "2026-11-20 08:00:00Z");
        check("10m", "2026-11-26 14:00:00Z");
        check("90s ago", "2026-11-26 14:08:30Z");
    }

    #[test]
    fn what_is_no_instant_or_not_past_is_refused() {
        let now = Timestamp::parse("2026-11-26T14:10:00Z").unwrap();
        let check = |text: &str, expected: &str| {
            let error = parse(text, now).unwrap_err();
            assert!(error.message.contains(expected), "{text}: {}", error.message);
        };
        check("noon", "`noon` is not an instant");
        check("25:00", "is not an instant");
        check("-5m", "is not an instant");
        check("2027-01-01T00:00:00Z", "has not come yet: it is 2026-11-26 14:10:00Z now");
    }

    #[test]
    fn times_of_a_timeline_count_from_its_start() {
        let check = |text: &str, expected: f64| assert_eq!(parse_offset(text).unwrap(), expected, "{text}");
        check("04:00:15", 14_415.0);
        check("27:00", 97_200.0);
        check("2d14:03", 2.0 * 86_400.0 + 50_580.0);
        check("3d", 259_200.0);
        check("14415", 14_415.0);
        check("1.5h", 5400.0);
        for wrong in ["", "now", "1:2:3:4", "1:75", "-4", "xd"] {
            assert!(parse_offset(wrong).is_err(), "{wrong}");
        }
    }
}
