//! Errors about secrets quote what was wrong with them; here what was quoted is taken out again.

use serde_json::Value;

use crate::error::ApiError;

/// Parts of a body that are no secret: what the object is and what it is called, and where a JSON patch goes.
const OPEN: &[&str] = &["apiVersion", "kind", "metadata", "type", "op", "path", "from"];
/// Shorter texts are in every sentence.
const LEAST_CHARACTERS: usize = 4;
const INSTEAD: &str = "<redacted>";

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= LEAST_CHARACTERS => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !OPEN.contains(&name.as_str())).for_each(|(_, inner)| texts(inner, found));
        }
        _ => {}
    }
}

/// The error without any value of the body that led to it.
pub fn redact(error: ApiError, body: &Value) -> ApiError {
    let mut found = Vec::new();
    texts(body, &mut found);
    // A text that contains another goes first.
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let clean = |text: &str| found.iter().fold(text.to_owned(), |text, secret| text.replace(secret, INSTEAD));
    let message = clean(error.message());
    let details = error.details().and_then(|details| serde_json::from_str(&clean(&details.to_string())).ok());
    match details {
        Some(details) => error.with_message(message).with_details(details),
        None => error.with_message(message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_vanish_and_names_stay() {
        let body = json!({"kind": "Secret", "metadata": {"name": "login"}, "data": {"user": "aGVsbG8=", "n": ["abc"]}, "stringData": "hunter2!"});
        let error = ApiError::bad_request("Secret login: data: invalid type: string \"hunter2!\", not aGVsbG8= or abc")
            .with_details(json!({"causes": [{"message": "hunter2!"}], "name": "login"}));
        let error = redact(error, &body);
        assert_eq!(error.message(), "Secret login: data: invalid type: string \"<redacted>\", not <redacted> or abc");
        assert_eq!(error.details().unwrap()["causes"][0]["message"], INSTEAD);
        let patch = json!([{"op": "test", "path": "/data/user", "value": "hunter2!"}]);
        let error = redact(ApiError::bad_request("testing value /data/user failed: hunter2!"), &patch);
        assert_eq!(error.message(), "testing value /data/user failed: <redacted>");
    }
}
