//! Request bodies: JSON, YAML and some protobuf, within a bound.

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use crate::error::ApiError;

/// Upstream's bound for a request to the API.
const MAX_BYTES: usize = 3 << 20;

pub async fn read(body: Incoming) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(body, MAX_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {MAX_BYTES}")))
        }
        Err(error) => Err(ApiError::bad_request(format!("cannot read the request's body: {error}"))),
    }
}

/// Reads what nobody wants, so that the connection can be used again: with a body that is half read it would be closed after the
/// answer, and a client's next request would find it so.
pub async fn discard(mut body: Incoming) {
    let mut left = MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// # Errors
/// 400 for what does not parse, 415 for CBOR and for what is not read as protobuf.
pub fn parse(bytes: &[u8], content_type: &str) -> Result<Value, ApiError> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let unsupported = |why: &str| {
        ApiError::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({kind}{why}) - accepted media types include: application/json, application/yaml"
        ))
    };
    if kind.contains("cbor") {
        return Err(unsupported(""));
    }
    if kind == "application/vnd.kubernetes.protobuf" && !bytes.is_empty() {
        return super::protobuf::decode(bytes).map_err(|why| unsupported(&format!(": {why}")));
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if kind.contains("yaml") && !matches!(bytes.first(), Some(b'{' | b'[')) {
        let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the request's body is not UTF-8"))?;
        return serde_saphyr::from_str(text)
            .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}
