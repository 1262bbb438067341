//! Cron schedules: five fields or a word such as `@hourly`, in UTC.

use k8s_openapi::jiff::civil::DateTime;
use k8s_openapi::jiff::tz::Offset;
use k8s_openapi::jiff::{Timestamp as Instant, ToSpan};
use units::Timestamp;

/// The allowed values of each field as bits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day must fit both fields if one of them is `*`, otherwise either.
    either_day: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// 29 February on a given weekday comes back within 28 years, and 2100 has none.
const HORIZON_YEARS: i64 = 40;

impl Schedule {
    /// # Errors
    /// With the field that is wrong.
    pub(super) fn parse(text: &str) -> Result<Schedule, String> {
        let fields = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!("`{text}` has {} fields instead of 5", fields.len()));
        };
        let weekday_bits = field(weekdays, 0, 7, &WEEKDAYS)?;
        Ok(Schedule {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: (weekday_bits | (weekday_bits >> 7)) & 0x7f,
            either_day: !is_any(days) && !is_any(weekdays),
        })
    }

    /// The first time after `since`; nothing for a day that never comes, such as 31 February.
    pub(super) fn next_after(&self, since: Timestamp) -> Option<Timestamp> {
        let start = Offset::UTC.to_datetime(Instant::from(since));
        let mut at = start.date().at(start.hour(), start.minute(), 0, 0).checked_add(1.minute()).ok()?;
        let horizon = start.checked_add(HORIZON_YEARS.years()).ok()?;
        while at < horizon {
            at = if !has(self.months, at.month()) {
                at.date().first_of_month().at(0, 0, 0, 0).checked_add(1.month()).ok()?
            } else if !self.fits_day(at) {
                at.date().at(0, 0, 0, 0).checked_add(1.day()).ok()?
            } else if !has(self.hours, at.hour()) {
                at.date().at(at.hour(), 0, 0, 0).checked_add(1.hour()).ok()?
            } else if !has(self.minutes, at.minute()) {
                at.checked_add(1.minute()).ok()?
            } else {
                return Some(Timestamp::from(Offset::UTC.to_timestamp(at).ok()?));
            };
        }
        None
    }

    fn fits_day(&self, at: DateTime) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

fn is_any(field: &str) -> bool {
    field.starts_with(['*', '?'])
}

/// `*`, `5`, `1-5`, `*/15`, `10-40/10`, `mon-fri`, and lists of these.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step_by = step.map_or(Ok(1), |step| {
            step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(|| format!("`{part}`: `{step}` is not a step"))
        })?;
        let value = |word: &str| value(word, least, names).ok_or_else(|| format!("`{part}`: `{word}` is not a value"));
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (least, most.min(if names.len() == 7 { 6 } else { most })),
            Some((first, last)) => (value(first)?, value(last)?),
            None if step.is_some() => (value(range)?, most),
            None => (value(range)?, value(range)?),
        };
        if first < least || last > most || first > last {
            return Err(format!("`{part}` lies outside {least} to {most}"));
        }
        (first..=last).step_by(step_by as usize).for_each(|value| bits |= 1_u64 << value);
    }
    Ok(bits)
}

fn value(word: &str, least: u32, names: &[&str]) -> Option<u32> {
    let lower = word.to_lowercase();
    let named = names.iter().position(|name| *name == lower).and_then(|index| u32::try_from(index).ok());
    named.map(|index| index + least).or_else(|| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, since: &str, expected: &str) {
        let next = Schedule::parse(schedule).unwrap().next_after(Timestamp::parse(since).unwrap());
        assert_eq!(next.map_or("never".to_owned(), Timestamp::rfc3339), expected, "{schedule} after {since}");
    }

    #[test]
    fn the_next_time() {
        check("* * * * *", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z");
        check("*/15 * * * *", "2026-11-23T10:01:30Z", "2026-11-23T10:15:00Z");
        check("0 3 * * *", "2026-11-23T10:00:00Z", "2026-11-24T03:00:00Z");
        check("30 8-17/3 * * mon-fri", "2026-11-27T17:30:00Z", "2026-11-30T08:30:00Z");
        check("0 0 1 1 *", "2026-11-23T10:00:00Z", "2027-01-01T00:00:00Z");
        check("0 0 29 2 *", "2026-11-23T10:00:00Z", "2028-02-29T00:00:00Z");
        check("0 0 13 * fri", "2026-11-23T10:00:00Z", "2026-11-27T00:00:00Z");
        check("0 0 * * 7", "2026-11-23T10:00:00Z", "2026-11-29T00:00:00Z");
        check("@hourly", "2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z");
        check("0 0 31 2 *", "2026-11-23T10:00:00Z", "never");
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "* * * * 8"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
