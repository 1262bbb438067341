//! Two recordings of the same requests, answer by answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::exchange::Exchange;
use crate::normal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Asked of one cloud only, because its answers led there.
    Request,
    Status,
    Header,
    /// There on one side only.
    Property,
    /// Another JSON type.
    Type,
    Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// `PUT /subscriptions/…?api-version=…`
    pub request: String,
    pub kind: Kind,
    /// A header's name, or the path of a property; empty for the answer as a whole.
    pub at: String,
    pub azure: Option<String>,
    pub embedded: Option<String>,
}

/// Headers that clients of ARM act upon ("Track asynchronous Azure operations", "Resource Manager throttling").
const HEADERS: [&str; 9] = [
    "azure-asyncoperation",
    "location",
    "retry-after",
    "etag",
    "content-type",
    "x-ms-request-id",
    "x-ms-correlation-request-id",
    "x-ms-routing-request-id",
    "x-ms-error-code",
];
const LIMITS: &str = "x-ms-ratelimit-remaining";

/// Every difference, in order, each once. How often an operation was asked after is not compared, nor how long it took.
pub fn compare(azure: &[Exchange], embedded: &[Exchange]) -> Vec<Difference> {
    let (azure, embedded) = (by_request(azure), by_request(embedded));
    let mut found = BTreeSet::new();
    let requests: BTreeSet<&String> = azure.keys().chain(embedded.keys()).collect();
    for request in requests {
        let mut add = |kind, at: &str, azure: Option<String>, embedded: Option<String>| {
            found.insert(Difference { request: request.clone(), kind, at: at.to_owned(), azure, embedded });
        };
        match (azure.get(request), embedded.get(request)) {
            (Some(azure), Some(embedded)) => answers(azure, embedded, &mut add),
            (azure, embedded) => {
                let statuses = |side: Option<&Vec<&Exchange>>| side.map(|all| statuses(all));
                add(Kind::Request, "", statuses(azure), statuses(embedded));
            }
        }
    }
    found.into_iter().collect()
}

fn by_request(exchanges: &[Exchange]) -> BTreeMap<String, Vec<&Exchange>> {
    let mut all: BTreeMap<String, Vec<&Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        // What was thrown back for its frequency was asked again.
        if exchange.status == 429 {
            continue;
        }
        let key = if normal::is_operation(&exchange.path) {
            format!("{} the status of an operation of {}", exchange.method, namespace(&exchange.path))
        } else {
            format!("{} {}", exchange.method, normal::path(&exchange.path))
        };
        all.entry(key).or_default().push(exchange);
    }
    all
}

fn namespace(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let rest = lower.rsplit_once("/providers/").map_or("the subscription", |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

fn statuses(exchanges: &[&Exchange]) -> String {
    let all: BTreeSet<u16> = exchanges.iter().map(|exchange| exchange.status).collect();
    all.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

type Add<'a> = dyn FnMut(Kind, &str, Option<String>, Option<String>) + 'a;

/// The first and the last answers: between them only an operation's progress differs.
fn answers(azure: &[&Exchange], embedded: &[&Exchange], add: &mut Add<'_>) {
    let ends = |all: &[&Exchange]| all.first().zip(all.last()).map(|(first, last)| ((*first).clone(), (*last).clone()));
    let (Some(azure_ends), Some(embedded_ends)) = (ends(azure), ends(embedded)) else { return };
    // A long operation is asked after once on one side and many times on the other, and its first answers differ by that.
    let polled = azure.len() != embedded.len();
    for (azure, embedded, is_first) in [(azure_ends.0, embedded_ends.0, true), (azure_ends.1, embedded_ends.1, false)] {
        if polled && is_first {
            continue;
        }
        if azure.status != embedded.status {
            add(Kind::Status, "", Some(azure.status.to_string()), Some(embedded.status.to_string()));
        }
        headers(&azure, &embedded, add);
        if azure.status < 400 || embedded.status < 400 || azure.status == embedded.status {
            body("", azure.body.as_ref(), embedded.body.as_ref(), add);
        }
    }
}

fn headers(azure: &Exchange, embedded: &Exchange, add: &mut Add<'_>) {
    let names = |exchange: &Exchange| -> BTreeMap<String, String> {
        let told =
            exchange.headers.iter().filter(|(name, _)| HEADERS.contains(&name.as_str()) || name.starts_with(LIMITS));
        told.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (azure, embedded) = (names(azure), names(embedded));
    let all: BTreeSet<&String> = azure.keys().chain(embedded.keys()).collect();
    for name in all {
        let (azure, embedded) = (azure.get(name), embedded.get(name));
        let differs = match (azure, embedded) {
            (Some(azure), Some(embedded)) => name == "content-type" && !azure.eq_ignore_ascii_case(embedded),
            _ => true,
        };
        if differs {
            add(Kind::Header, name, azure.cloned(), embedded.cloned());
        }
    }
}

fn body(at: &str, azure: Option<&Value>, embedded: Option<&Value>, add: &mut Add<'_>) {
    // A property that is null and one that is not there mean the same to ARM's clients.
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    match (present(azure), present(embedded)) {
        (None, None) => {}
        (Some(Value::Object(azure)), Some(Value::Object(embedded))) => {
            let names: BTreeSet<&String> = azure.keys().chain(embedded.keys()).collect();
            for name in names {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                body(&at, azure.get(name), embedded.get(name), add);
            }
        }
        (Some(Value::Array(azure)), Some(Value::Array(embedded))) => list(at, &azure, &embedded, add),
        (Some(azure), Some(embedded)) => {
            let (types, values) = ((kind(&azure), kind(&embedded)), (leaf(&azure), leaf(&embedded)));
            if types.0 != types.1 {
                add(Kind::Type, at, Some(types.0.to_owned()), Some(types.1.to_owned()));
            } else if values.0 != values.1 {
                add(Kind::Value, at, Some(values.0), Some(values.1));
            }
        }
        (azure, embedded) => {
            add(Kind::Property, at, azure.map(|value| short(&value)), embedded.map(|value| short(&value)))
        }
    }
}

/// Items are found again by their id or name, because ARM's lists have no order that is promised.
fn list(at: &str, azure: &[Value], embedded: &[Value], add: &mut Add<'_>) {
    let key = |item: &Value, index: usize| {
        let named = ["id", "resourceId", "name", "code"].iter().find_map(|name| item[*name].as_str().map(normal::text));
        let named = named.filter(|name| !name.starts_with('<')).or_else(|| item.as_str().map(normal::text));
        named.map_or_else(|| index.to_string(), |name| name.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let by_key = |items: &[Value]| -> BTreeMap<String, Value> {
        items.iter().enumerate().map(|(index, item)| (key(item, index), item.clone())).collect()
    };
    let (azure, embedded) = (by_key(azure), by_key(embedded));
    let keys: BTreeSet<&String> = azure.keys().chain(embedded.keys()).collect();
    for key in keys {
        body(&format!("{at}[{key}]"), azure.get(key), embedded.get(key), add);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => normal::text(text),
        other => other.to_string(),
    }
}

/// For people: what is only on one side, cut where it would fill the page.
fn short(value: &Value) -> String {
    const LIMIT: usize = 60;
    let text = match value {
        Value::Object(members) => format!("{{{}}}", members.keys().cloned().collect::<Vec<_>>().join(", ")),
        other => leaf(other),
    };
    if text.chars().count() <= LIMIT { text } else { text.chars().take(LIMIT).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange(path: &str, status: u16, headers: &[(&str, &str)], body: Value) -> Exchange {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Exchange { method: "GET".into(), path: path.into(), status, headers, body: Some(body) }
    }

    fn check(azure: Exchange, embedded: Exchange, expected: &[(Kind, &str)]) {
        let found = compare(&[azure], &[embedded]);
        let told: Vec<_> = found.iter().map(|difference| (difference.kind, difference.at.as_str())).collect();
        assert_eq!(told, expected, "{found:?}");
    }

    const GROUP: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/g?api-version=2025-04-01";

    #[test]
    fn what_differs_in_every_run_is_no_difference() {
        check(
            exchange(
                GROUP,
                200,
                &[("x-ms-request-id", "a"), ("date", "today"), ("etag", "W/\"1\"")],
                json!({"id": "/subscriptions/S/resourceGroups/G", "principalId": "6f1c2a4e-1111-2222-3333-444455556666", "at": "2026-11-26T10:00:00.123Z", "took": "PT1M2.5S", "ip": "10.0.0.4", "deploymentId": "/subscriptions/s/providers/Microsoft.Resources/deployments/marea-db-49563d9b", "items": [{"name": "b", "n": 1}, {"name": "a"}], "none": null}),
            ),
            exchange(
                &GROUP.to_lowercase(),
                200,
                &[("x-ms-request-id", "b"), ("etag", "W/\"2\"")],
                json!({"id": "/subscriptions/s/resourcegroups/g", "principalId": "aaaaaaaa-1111-2222-3333-444455556666", "at": "2025-01-01T00:00:00Z", "took": "PT0.1S", "ip": "10.0.0.9", "deploymentId": "/subscriptions/s/providers/Microsoft.Resources/deployments/marea-db-c2eeee42", "items": [{"name": "a"}, {"name": "b", "n": 1}]}),
            ),
            &[],
        );
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        check(
            exchange(
                GROUP,
                200,
                &[("azure-asyncoperation", "x"), ("content-type", "application/json")],
                json!({"only": {"here": 1}, "t": 1, "v": "a", "list": [{"name": "x", "p": true}]}),
            ),
            exchange(
                GROUP,
                201,
                &[("content-type", "text/html")],
                json!({"t": "1", "v": "b", "list": [{"name": "x", "p": false}, {"name": "y"}]}),
            ),
            &[
                (Kind::Status, ""),
                (Kind::Header, "azure-asyncoperation"),
                (Kind::Header, "content-type"),
                (Kind::Property, "list[y]"),
                (Kind::Property, "only"),
                (Kind::Type, "t"),
                (Kind::Value, "list[x].p"),
                (Kind::Value, "v"),
            ],
        );
        let other = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/h?api-version=2025-04-01";
        let found = compare(&[exchange(GROUP, 200, &[], json!({}))], &[exchange(other, 404, &[], json!({}))]);
        assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), [Kind::Request, Kind::Request]);
    }

    #[test]
    fn progress_and_throttling_are_not_compared() {
        let status = |id: &str| {
            format!(
                "/subscriptions/11111111-1111-4111-8111-111111111111/providers/Microsoft.Network/locations/eastus/operations/{id}?api-version=2025-09-01"
            )
        };
        let running = exchange(&status("a"), 200, &[], json!({"status": "InProgress", "percent": 5}));
        let done = |id: &str| exchange(&status(id), 200, &[], json!({"status": "Succeeded"}));
        let throttled = exchange(GROUP, 429, &[("retry-after", "3")], json!({}));
        assert_eq!(compare(&[running.clone(), running, throttled, done("a")], &[done("b")]), []);
    }

    #[test]
    fn a_credential_is_never_kept() {
        let kept = normal::without_secrets(
            json!({"kubeconfigs": [{"value": "c2VjcmV0"}], "a": [{"Password": "x"}], "b": "y"}),
        );
        assert_eq!(kept, json!({"kubeconfigs": "(secret)", "a": [{"Password": "(secret)"}], "b": "y"}));
    }
}
