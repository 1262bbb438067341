//! Requests and responses as values.

use serde_json::Value;

use crate::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Put,
    Patch,
    Post,
    Delete,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The directory's object id, which role assignments name.
    pub object_id: String,
    pub app_id: String,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Decoded, without the query.
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub principal: Principal,
    /// Scheme and authority that the client used, for absolute links: `https://127.0.0.1:8443`.
    pub base_url: String,
}

impl Request {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// `InvalidRequestContent` when it is anything else.
    pub fn json(&self) -> Result<Value, Fault> {
        let value = crate::lenient_json::parse(&self.body).map_err(|error| {
            Fault::invalid_content(format!("The request content was invalid and could not be deserialized: '{error}'."))
        })?;
        if value.is_object() {
            return Ok(value);
        }
        Err(Fault::invalid_content(
            "The request content was invalid and could not be deserialized: 'the body must be a JSON object'.",
        ))
    }

    /// Like [`Request::json`], with an empty object for an empty body.
    pub fn json_or_empty(&self) -> Result<Value, Fault> {
        if self.body.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { self.json() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
}

impl Response {
    pub fn json(status: u16, body: Value) -> Response {
        Response { status, headers: Vec::new(), body: Some(body) }
    }

    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: None }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// When to ask again. Azure's Python clients take `Retry-After: 0` for "not given" and wait thirty seconds, so it is a
    /// second; who reads milliseconds (`x-ms-retry-after-ms`, as azure-core does) asks sooner.
    #[must_use]
    pub fn poll_soon(self) -> Response {
        self.header("Retry-After", "1").header("x-ms-retry-after-ms", "8")
    }

    pub fn get_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl From<Fault> for Response {
    fn from(fault: Fault) -> Response {
        Response::json(fault.status, serde_json::json!({ "error": fault.body }))
    }
}
