//! One request and its answer, without what must not be written down.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub method: String,
    /// With the query, without host.
    pub path: String,
    pub status: u16,
    /// Names in lower case. Tokens travel in requests only, and requests' headers and bodies are not kept.
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
}
