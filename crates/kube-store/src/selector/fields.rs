//! Field selectors (upstream: apimachinery `fields/selector.go`; the fields per resource: `pkg/apis/*/v1/conversion.go`
//! of v1.36.3).

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::path;

/// Conditions on fields of an object that must all hold. The default has none and selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

/// Fields whose value is `false` while they are absent.
const BOOLEAN_FIELDS: [&str; 2] = ["spec.unschedulable", "spec.hostNetwork"];
/// Fields whose value is `0` while they are absent.
const NUMBER_FIELDS: [&str; 2] = ["status.successful", "status.replicas"];

impl FieldSelector {
    /// Parses `metadata.name=web,spec.nodeName!=n1`; `\` escapes a comma, an equals sign or itself in a value.
    ///
    /// # Errors
    /// On a term without `=`, `==` or `!=`, or a wrong escape.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = split_terms(text);
        // Upstream sorts the terms first, which decides about the one that an error names.
        terms.sort_unstable();
        let terms = terms.into_iter().filter(|term| !term.is_empty()).map(|term| parse_term(text, term));
        let mut terms = terms.collect::<Result<Vec<_>, _>>()?;
        // As upstream, a bare operator says nothing.
        terms.retain(|term| !term.field.is_empty() || !term.value.is_empty());
        Ok(FieldSelector { terms })
    }

    /// True when everything is selected.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The fields that are asked for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|term| term.field.as_str())
    }

    /// The value that `field` must equal, if the selector says so: for a direct look-up by name.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }

    /// Refuses a field that `resource` (`pods`, `events.events.k8s.io`) cannot be selected by, in upstream's words.
    ///
    /// # Errors
    /// On the first such field.
    pub fn check_supported(&self, resource: &str) -> Result<(), SelectorError> {
        let supported = supported_fields(resource);
        let known = |field: &str| matches!(field, "metadata.name" | "metadata.namespace") || supported.contains(&field);
        match self.fields().find(|field| !known(field)) {
            None => Ok(()),
            Some(field) if supported.is_empty() => Err(SelectorError(format!(
                "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ))),
            Some(field) => Err(SelectorError(format!("field label not supported: {field}"))),
        }
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_text(object, &term.field) == term.value) == term.equal)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

/// What a resource can be selected by beside its name and namespace.
pub fn supported_fields(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "replicationcontrollers" | "replicasets.apps" => &["status.replicas"],
        "jobs.batch" => &["status.successful"],
        "certificatesigningrequests.certificates.k8s.io" => &["spec.signerName"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "events.events.k8s.io" => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

fn field_text<'v>(object: &'v Value, field: &str) -> Cow<'v, str> {
    // Two names of the API do not follow the object's shape.
    let steps: Vec<&str> = match field {
        "status.successful" => vec!["status", "succeeded"],
        "source" => vec!["source", "component"],
        _ => field.split('.').collect(),
    };
    match path::get(object, &steps) {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Bool(flag)) => Cow::Owned(flag.to_string()),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        _ if BOOLEAN_FIELDS.contains(&field) => Cow::Borrowed("false"),
        _ if NUMBER_FIELDS.contains(&field) => Cow::Borrowed("0"),
        _ => Cow::Borrowed(""),
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_term(selector: &str, term: &str) -> Result<Term, SelectorError> {
    let operators = [("!=", false), ("==", true), ("=", true)];
    for at in term.char_indices().map(|(at, _)| at) {
        if let Some((operator, equal)) = operators.iter().find(|(operator, _)| term[at..].starts_with(operator)) {
            let value = unescape(&term[at + operator.len()..])?;
            return Ok(Term { field: term[..at].to_owned(), equal: *equal, value });
        }
    }
    Err(SelectorError(format!("invalid selector: '{selector}'; can't understand '{term}'")))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                Some(other) => {
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{other}")));
                }
                None => {
                    return Err(SelectorError("invalid field selector: invalid escape sequence: \\".to_owned()));
                }
            },
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            other => text.push(other),
        }
    }
    Ok(text)
}
