//! Paths and query parameters.

use crate::error::ApiError;

/// `/apis/<group>/<version>/namespaces/<namespace>/<plural>/<name>/<subresource>`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    pub plural: String,
    pub name: String,
    pub subresource: String,
    /// What follows a `proxy` subresource.
    pub rest: String,
}

fn decoded(text: &str) -> String {
    let pair = format!("{}=", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(key, _)| key.into_owned()).unwrap_or_default()
}

/// `None` for what is no path of a resource: discovery, health, OpenAPI.
pub fn resource(path: &str) -> Option<ResourcePath> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let (group, version, rest) = match parts.as_slice() {
        [api, version, rest @ ..] if api == "api" => (String::new(), version.clone(), rest),
        [apis, group, version, rest @ ..] if apis == "apis" => (group.clone(), version.clone(), rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        [namespaces, namespace, rest @ ..]
            if namespaces == "namespaces" && !rest.is_empty() && !(rest[0] == "status" || rest[0] == "finalize") =>
        {
            (Some(namespace.clone()), rest)
        }
        rest => (None, rest),
    };
    let [plural, rest @ ..] = rest else { return None };
    let part = |index: usize| rest.get(index).cloned().unwrap_or_default();
    let tail = rest.get(2..).unwrap_or_default().join("/");
    Some(ResourcePath {
        group,
        version,
        namespace,
        plural: plural.clone(),
        name: part(0),
        subresource: part(1),
        rest: tail,
    })
}

/// The query's parameters, in order.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: Option<&str>) -> Query {
        let pairs = url::form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Query(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// # Errors
    /// 400 for what is no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::bad_request(format!("the query parameter {name}={text:?} is not a whole number")))
    }
}
