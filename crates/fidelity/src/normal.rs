//! What differs between any two runs, put in words that are equal: identities, times, addresses.

use serde_json::Value;

/// Members whose values open something. Their place in an answer is compared, their value never kept.
const SECRETS: [&str; 6] =
    ["kubeconfigs", "administratorloginpassword", "clientsecret", "accesstoken", "primarykey", "password"];

pub(crate) fn without_secrets(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let taken = member.take();
                *member = if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
                    Value::String("(secret)".into())
                } else {
                    without_secrets(taken)
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_secrets(item.take());
            }
        }
        _ => {}
    }
    value
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text
            .char_indices()
            .all(|(at, c)| if [8, 13, 18, 23].contains(&at) { c == '-' } else { c.is_ascii_hexdigit() })
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 19
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[..4].iter().all(u8::is_ascii_digit)
}

/// `PT1M2.5S`
fn is_duration(text: &str) -> bool {
    text.strip_prefix('P').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || b"DTHMS.".contains(&byte))
    })
}

fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

/// A value of a leaf, comparable between two clouds. Ids are compared without case, as ARM compares them.
pub(crate) fn text(value: &str) -> String {
    match () {
        () if value.starts_with('/') => path(value),
        () if is_guid(value) => "<guid>".to_owned(),
        () if is_time(value) => "<time>".to_owned(),
        () if is_duration(value) => "<duration>".to_owned(),
        () if is_address(value) => "<address>".to_owned(),
        () if value.starts_with("W/\"") || value.starts_with('"') => "<etag>".to_owned(),
        () if value.starts_with("https://") => "<url>".to_owned(),
        // `Immutable zone identity;…` in base64.
        () if value.starts_with("SW1tdXRhYmxlIHpvbmUgaWRlbnRpdHk7") => "<zone>".to_owned(),
        () if value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_digit()) => "<number>".to_owned(),
        () => value.to_owned(),
    }
}

/// The part of a path that names things: the query's api-version stays, identities and times go.
pub(crate) fn path(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts: Vec<String> = Vec::new();
    let (mut after_subscription, mut after_deployments) = (false, false);
    for part in path.split('/') {
        let lower = part.to_ascii_lowercase();
        let is_id = is_guid(part) && !after_subscription;
        parts.push(match () {
            () if is_id => "*".to_owned(),
            () if after_deployments => without_suffix(&lower).to_owned(),
            () => lower.clone(),
        });
        (after_subscription, after_deployments) = (lower == "subscriptions", lower == "deployments");
    }
    let api_version = query.split('&').find(|field| field.to_ascii_lowercase().starts_with("api-version="));
    let joined = parts.join("/");
    api_version.map_or(joined.clone(), |version| format!("{joined}?{}", version.to_ascii_lowercase()))
}

/// A deployment stack names each of its deployments anew: `marea-base-2409241a7f`.
fn without_suffix(name: &str) -> &str {
    let is_drawn = |suffix: &str| {
        suffix.len() >= 6
            && suffix.bytes().any(|byte| byte.is_ascii_digit())
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    name.rsplit_once('-').filter(|(_, suffix)| is_drawn(suffix)).map_or(name, |(rest, _)| rest)
}

/// Addresses of operations are the cloud's own affair; clients take them as they are told.
pub(crate) fn is_operation(path: &str) -> bool {
    const WORDS: [&str; 6] = [
        "/operations/",
        "/operationresults/",
        "/operationstatuses/",
        "/operationstatus/",
        "/azureasyncoperation/",
        "/azureasyncoperations/",
    ];
    let path = path.split('?').next().unwrap_or(path).to_ascii_lowercase();
    WORDS.iter().any(|word| path.contains(word)) && !path.contains("/microsoft.resources/deployments/")
        || path.contains("/operationstatuses/")
        || path.contains("operationstatus/")
}
