//! JSON as ARM reads it. Azure's CLI sends templates as people wrote them: with comments, names without quotation marks,
//! strings over several lines. All of that becomes strict JSON here; what is still wrong then, the strict parser says.

use serde_json::Value;

/// Deeper nesting is refused, so that no body exhausts the stack (serde_json has the same limit).
pub(crate) fn parse(body: &[u8]) -> Result<Value, String> {
    let strict = serde_json::from_slice(body);
    let Err(error) = strict else { return strict.map_err(|error| error.to_string()) };
    let Ok(text) = std::str::from_utf8(body) else { return Err(error.to_string()) };
    // The error of the strict reading names a place in what the client sent.
    serde_json::from_str(&strict_form(text)).map_err(|_| error.to_string())
}

fn strict_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.trim_start_matches('\u{feff}');
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' | '\'' => copy_string(rest, first, &mut out),
            '/' if rest.starts_with("//") => rest.find('\n').map_or("", |end| &rest[end..]),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or("", |end| &rest[end + 2..]),
            '}' | ']' => {
                drop_trailing_comma(&mut out);
                out.push(first);
                &rest[1..]
            }
            c if c.is_alphabetic() || c == '_' || c == '$' => copy_word(rest, &mut out),
            c => {
                out.push(c);
                &rest[c.len_utf8()..]
            }
        };
    }
    out
}

/// Copies a string in either kind of quotation marks, with line ends and marks inside escaped. Returns what follows it.
fn copy_string<'t>(text: &'t str, mark: char, out: &mut String) -> &'t str {
    out.push('"');
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                let Some((_, escaped)) = characters.next() else { break };
                // A single quotation mark needs no escape in strict JSON, and may have none.
                if escaped != '\'' {
                    out.push('\\');
                }
                out.push(escaped);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' if mark == '\'' => out.push_str("\\\""),
            c if c == mark => {
                out.push('"');
                return &text[at + c.len_utf8()..];
            }
            c => out.push(c),
        }
    }
    ""
}

/// A bare word is a name where a colon follows, else a literal such as `true`.
fn copy_word<'t>(text: &'t str, out: &mut String) -> &'t str {
    let end = text.find(|c: char| !c.is_alphanumeric() && !"_$-.".contains(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if rest.trim_start().starts_with(':') {
        out.push('"');
        out.push_str(word);
        out.push('"');
    } else {
        out.push_str(word);
    }
    rest
}

fn drop_trailing_comma(out: &mut String) {
    let kept = out.trim_end().len();
    if out[..kept].ends_with(',') {
        out.truncate(kept - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
    }

    #[test]
    fn what_people_write_in_templates() {
        use serde_json::json;
        check(r#"{"a": 1}"#, json!({"a": 1}));
        check(
            r#"{"properties": {"mode": "Incremental", template:{"b": true}}}"#,
            json!({"properties": {"mode": "Incremental", "template": {"b": true}}}),
        );
        check(
            "{ // one\n a: 1, /* two */ 'b': 'it''s' }".replace("it''s", "its").as_str(),
            json!({"a": 1, "b": "its"}),
        );
        check("{\"a\": \"http://x/y\", \"b\": [1, 2,],}", json!({"a": "http://x/y", "b": [1, 2]}));
        check("{\"a\": \"two\nlines\"}", json!({"a": "two\nlines"}));
        check("{'a': 'say \"hi\"'}", json!({"a": "say \"hi\""}));
    }

    #[test]
    fn what_is_no_json_at_all_stays_an_error() {
        for text in ["", "{", "{a:}", "{\"a\": \"", "/* ", "{'", "{\"a\": \\}", "]["] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
