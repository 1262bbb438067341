//! The error envelope of every Azure answer above 399.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": {"code": …, "message": …}}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmError {
    pub error: ErrorBody,
}

/// The inside of the envelope, which also stands alone in async status documents and operations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_info: Vec<Value>,
}

impl ErrorBody {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> ErrorBody {
        ErrorBody { code: code.into(), message: message.into(), ..ErrorBody::default() }
    }

    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> ErrorBody {
        self.target = Some(target.into());
        self
    }

    #[must_use]
    pub fn details(mut self, details: Vec<ErrorBody>) -> ErrorBody {
        self.details = details;
        self
    }

    /// The innermost first detail: what really went wrong below `DeploymentFailed` and its like.
    pub fn root_cause(&self) -> &ErrorBody {
        self.details.first().map_or(self, ErrorBody::root_cause)
    }
}

impl From<ErrorBody> for ArmError {
    fn from(error: ErrorBody) -> ArmError {
        ArmError { error }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ArmError {}
impl std::error::Error for ErrorBody {}
