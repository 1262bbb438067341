//! Text.

use serde_json::Value;

use super::Call;
use crate::expression::Evaluated;
use crate::expression::evaluate::text_of;

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "concat" if !call.values.iter().any(Value::is_array) => {
            Ok(Value::String(call.values.iter().map(text_of).collect()))
        }
        "format" => format(call),
        "string" => call.value(0).map(|value| Value::String(text_of(value))),
        "tolower" => call.text(0).map(|text| text.to_lowercase().into()),
        "toupper" => call.text(0).map(|text| text.to_uppercase().into()),
        "trim" => call.text(0).map(|text| text.trim().into()),
        "startswith" => two(call, |text, part| text.to_lowercase().starts_with(&part.to_lowercase()).into()),
        "endswith" => two(call, |text, part| text.to_lowercase().ends_with(&part.to_lowercase()).into()),
        "indexof" if call.values.first().is_some_and(Value::is_string) => {
            two(call, |text, part| position(text.to_lowercase().find(&part.to_lowercase()), text))
        }
        "lastindexof" if call.values.first().is_some_and(Value::is_string) => {
            two(call, |text, part| position(text.to_lowercase().rfind(&part.to_lowercase()), text))
        }
        "replace" => replace(call),
        "split" => split(call),
        "substring" => substring(call),
        "padleft" => pad_left(call),
        "base64" => call.text(0).map(|text| encode_base64(text.as_bytes()).into()),
        "base64tostring" => decoded(call).map(Value::String),
        "base64tojson" => decoded(call).and_then(|text| parse_json(call, &text)),
        "json" => call.text(0).and_then(|text| parse_json(call, text)),
        "uricomponent" => call.text(0).map(|text| percent_encode(text).into()),
        "uricomponenttostring" => percent_decode(call),
        "uri" => two(call, |base, relative| join_uri(base, relative).into()),
        _ => return None,
    })
}

fn two(call: &Call<'_>, of: fn(&str, &str) -> Value) -> Evaluated {
    Ok(of(call.text(0)?, call.text(1)?))
}

fn position(byte: Option<usize>, text: &str) -> Value {
    byte.map_or(-1, |byte| text.to_lowercase()[..byte].chars().count() as i64).into()
}

/// `{0}`, `{1:D3}` (digits), `{{` and `}}`, as .NET's composite formatting for the kinds that templates have.
fn format(call: &Call<'_>) -> Evaluated {
    let pattern = call.text(0)?;
    let mut made = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        made.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            made.push_str(brace);
            rest = after;
            continue;
        }
        let Some(end) = rest.find('}').filter(|_| brace == "{") else {
            return call.fail("has an unbalanced brace in its pattern");
        };
        made.push_str(&placeholder(call, &rest[..end])?);
        rest = &rest[end + 1..];
    }
    made.push_str(rest);
    Ok(Value::String(made))
}

fn placeholder(call: &Call<'_>, inside: &str) -> Result<String, crate::expression::ExpressionError> {
    let (index, style) = inside.split_once(':').unwrap_or((inside, ""));
    let Ok(index) = index.trim().parse::<usize>() else {
        return call.fail(format!("has the placeholder '{{{inside}}}', which is no number"));
    };
    let value = call.value(index + 1)?;
    let width =
        style.strip_prefix(['D', 'd']).and_then(|digits| digits.parse::<usize>().ok()).filter(|width| *width <= 99);
    Ok(match (value, width) {
        (Value::Number(number), Some(width)) => format!("{:0>width$}", number.to_string()),
        (Value::Bool(true), _) => "True".to_owned(),
        (Value::Bool(false), _) => "False".to_owned(),
        (Value::Null, _) => String::new(),
        (value, _) => text_of(value),
    })
}

fn replace(call: &Call<'_>) -> Evaluated {
    let (text, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    if old.is_empty() {
        return call.fail("expects a text to look for that is not empty");
    }
    Ok(text.replace(old, new).into())
}

fn split(call: &Call<'_>) -> Evaluated {
    let text = call.text(0)?;
    let separators: Vec<String> = match call.value(1)? {
        Value::Array(items) => items.iter().map(text_of).collect(),
        other => vec![text_of(other)],
    };
    let mut parts = vec![text.to_owned()];
    for separator in separators.iter().filter(|separator| !separator.is_empty()) {
        parts = parts
            .iter()
            .flat_map(|part| part.split(separator.as_str()).map(str::to_owned).collect::<Vec<_>>())
            .collect();
    }
    Ok(parts.into())
}

fn substring(call: &Call<'_>) -> Evaluated {
    call.count(2..=3)?;
    let text: Vec<char> = call.text(0)?.chars().collect();
    let start = usize::try_from(call.integer(1)?).unwrap_or(usize::MAX);
    let length = match call.values.get(2) {
        Some(_) => usize::try_from(call.integer(2)?).unwrap_or(usize::MAX),
        None => text.len().saturating_sub(start),
    };
    match start.checked_add(length) {
        Some(end) if end <= text.len() => Ok(text[start..end].iter().collect::<String>().into()),
        _ => call.fail("has an index and length that are outside the string"),
    }
}

fn pad_left(call: &Call<'_>) -> Evaluated {
    call.count(2..=3)?;
    let text = text_of(call.value(0)?);
    let width = match call.integer(1)? {
        width @ 0..=1000 => width as usize,
        _ => return call.fail("expects a width between 0 and 1000"),
    };
    let fill = match call.values.get(2) {
        Some(_) => call.text(2)?.chars().next().unwrap_or(' '),
        None => ' ',
    };
    let missing = width.saturating_sub(text.chars().count());
    Ok((std::iter::repeat_n(fill, missing).collect::<String>() + &text).into())
}

fn parse_json(call: &Call<'_>, text: &str) -> Evaluated {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => call.fail("was given a text that is not JSON"),
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = u32::from(chunk[0]) << 16
            | u32::from(*chunk.get(1).unwrap_or(&0)) << 8
            | u32::from(*chunk.get(2).unwrap_or(&0));
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

fn decoded(call: &Call<'_>) -> Result<String, crate::expression::ExpressionError> {
    let text = call.text(0)?.trim_end_matches('=');
    let mut bytes = Vec::new();
    let (mut bits, mut filled) = (0u32, 0);
    for byte in text.bytes() {
        let Some(digit) = BASE64.iter().position(|candidate| *candidate == byte) else {
            return call.fail("was given a text that is not base64");
        };
        bits = (bits << 6 | digit as u32) & 0xFF_FFFF;
        filled += 6;
        if filled >= 8 {
            filled -= 8;
            bytes.push((bits >> filled & 0xFF) as u8);
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => call.fail("was given base64 of what is not a text"),
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn percent_decode(call: &Call<'_>) -> Evaluated {
    let text = call.text(0)?.as_bytes();
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let escaped = text
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (text[at], escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 3;
            }
            (byte, _) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn join_uri(base: &str, relative: &str) -> String {
    if relative.contains("://") {
        return relative.to_owned();
    }
    match (base.rfind('/'), base.ends_with('/')) {
        (_, true) => format!("{base}{}", relative.trim_start_matches('/')),
        (Some(slash), false) if slash > base.find("://").map_or(0, |at| at + 2) => {
            format!("{}/{}", &base[..slash], relative.trim_start_matches('/'))
        }
        _ => format!("{base}/{}", relative.trim_start_matches('/')),
    }
}
