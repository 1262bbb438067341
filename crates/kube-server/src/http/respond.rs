//! Responses.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::error::ApiError;

pub type Reply = UnsyncBoxBody<Bytes, std::io::Error>;

pub fn full(bytes: impl Into<Bytes>) -> Reply {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn response(code: u16, content_type: &str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = content_type.parse() {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

pub fn json(code: u16, value: &Value) -> Response<Reply> {
    json_as(code, "application/json", value)
}

pub fn json_as(code: u16, content_type: &str, value: &Value) -> Response<Reply> {
    response(code, content_type, full(value.to_string()))
}

/// Writes JSON without a copy in between.
pub fn write(into: &mut Vec<u8>, value: &Value) {
    // A vector takes everything, and a value has no keys that are no text.
    let _ = serde_json::to_writer(into, value);
}

/// A list of objects as they are stored.
pub fn list(kind: &str, api_version: &str, metadata: &Value, items: &[Arc<Value>]) -> Response<Reply> {
    let mut bytes = Vec::new();
    let head = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}).to_string();
    // The items go before its last brace.
    bytes.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    bytes.extend_from_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        write(&mut bytes, item);
    }
    bytes.extend_from_slice(b"]}");
    response(200, "application/json", full(bytes))
}

pub fn text(text: &'static str) -> Response<Reply> {
    response(200, "text/plain; charset=utf-8", full(text))
}

pub fn stream(content_type: &str, body: Reply) -> Response<Reply> {
    response(200, content_type, body)
}

pub fn failure(error: &ApiError) -> Response<Reply> {
    let mut reply = json(error.code(), &error.status());
    if let Some(seconds) = error.details().and_then(|details| details.get("retryAfterSeconds")).and_then(Value::as_u64)
    {
        reply.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    reply
}

/// `299` warnings, which kubectl prints.
pub fn warn(reply: &mut Response<Reply>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = format!("299 - \"{quoted}\"").parse() {
            reply.headers_mut().append(http::header::WARNING, value);
        }
    }
}
