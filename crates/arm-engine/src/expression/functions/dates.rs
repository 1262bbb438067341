//! Dates. `utcNow` and `newGuid` only have a value in defaults of parameters.

use serde_json::Value;
use units::{Millis, Timestamp};

use super::Call;
use crate::expression::Evaluated;

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "utcnow" => utc_now(call),
        "datetimetoepoch" => instant(call, 0).map(|at| at.secs().into()),
        "datetimefromepoch" => call.integer(0).map(|seconds| Timestamp::from_secs(seconds).rfc3339().into()),
        "datetimeadd" => add(call),
        _ => return None,
    })
}

fn utc_now(call: &Call<'_>) -> Evaluated {
    let Some(now) = call.context.now else {
        return call.fail("is only allowed in the default value of a parameter");
    };
    let text = now.rfc3339();
    let digits: Vec<&str> = text.split(['-', ':', 'T', 'Z']).collect();
    match call.values.first() {
        None => Ok(format!("{}{}{}T{}{}{}Z", digits[0], digits[1], digits[2], digits[3], digits[4], digits[5]).into()),
        Some(Value::String(style)) => Ok(styled(style, &digits).into()),
        Some(_) => call.fail("expects a format string"),
    }
}

fn styled(style: &str, digits: &[&str]) -> String {
    match style {
        "u" => format!("{}-{}-{} {}:{}:{}Z", digits[0], digits[1], digits[2], digits[3], digits[4], digits[5]),
        "o" => format!("{}-{}-{}T{}:{}:{}.0000000Z", digits[0], digits[1], digits[2], digits[3], digits[4], digits[5]),
        "d" => format!("{}/{}/{}", digits[1], digits[2], digits[0]),
        custom => [("yyyy", 0), ("MM", 1), ("dd", 2), ("HH", 3), ("mm", 4), ("ss", 5)]
            .iter()
            .fold(custom.to_owned(), |text, (token, index)| text.replace(token, digits[*index])),
    }
}

fn instant(call: &Call<'_>, index: usize) -> Result<Timestamp, crate::expression::ExpressionError> {
    let text = call.text(index)?;
    let spelled = match text.as_bytes() {
        // The basic form that utcNow gives: 20261123T101500Z.
        [.., b'Z'] if text.len() == 16 && text.is_ascii() => {
            format!(
                "{}-{}-{}T{}:{}:{}Z",
                &text[..4],
                &text[4..6],
                &text[6..8],
                &text[9..11],
                &text[11..13],
                &text[13..15]
            )
        }
        _ => text.replacen(' ', "T", 1),
    };
    Timestamp::parse(&spelled).or_else(|_| call.fail(format!("was given '{text}', which is no date and time")))
}

fn add(call: &Call<'_>) -> Evaluated {
    let at = instant(call, 0)?;
    let text = call.text(1)?;
    match duration_seconds(text) {
        Some(seconds) => Ok((at + Millis::from_secs(seconds)).rfc3339().into()),
        None => call.fail(format!("was given '{text}', which is no duration of days, hours, minutes and seconds")),
    }
}

/// ISO 8601 durations with weeks, days, hours, minutes and seconds; calendar months and years have no fixed length.
pub(crate) fn duration_seconds(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let text = text.strip_prefix('P')?;
    let (mut total, mut digits, mut in_time) = (0i64, String::new(), false);
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if c == 'T' {
            in_time = true;
            continue;
        }
        let unit = match (c, in_time) {
            ('W', false) => 604_800,
            ('D', false) => 86_400,
            ('H', true) => 3_600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        total = total.checked_add(std::mem::take(&mut digits).parse::<i64>().ok()?.checked_mul(unit)?)?;
    }
    (digits.is_empty() && !text.is_empty()).then_some(sign * total)
}
