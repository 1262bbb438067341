//! What a request fails with: a Kubernetes `Status`.

use std::fmt;

use serde_json::{Value, json};

use crate::field::FieldErrors;

/// A failed request, as `metav1.Status` words it. Cheap to move; the parts are boxed.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Value>,
}

impl ApiError {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError(Box::new(Parts { code, reason, message: message.into(), details: None }))
    }

    pub fn with_message(mut self, message: impl Into<String>) -> ApiError {
        self.0.message = message.into();
        self
    }

    pub fn with_details(mut self, details: Value) -> ApiError {
        self.0.details = Some(details);
        self
    }

    /// `pods "web-1" not found`; `resource` as in `deployments.apps`.
    pub fn not_found(resource: &str, name: &str) -> ApiError {
        ApiError::new(404, "NotFound", format!("{resource} {name:?} not found")).about(resource, name)
    }

    pub fn already_exists(resource: &str, name: &str) -> ApiError {
        ApiError::new(409, "AlreadyExists", format!("{resource} {name:?} already exists")).about(resource, name)
    }

    pub fn conflict(resource: &str, name: &str, why: &str) -> ApiError {
        ApiError::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"))
            .about(resource, name)
    }

    /// The answer to an update that was computed from an old version of the object.
    pub fn modified(resource: &str, name: &str) -> ApiError {
        ApiError::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// A refusal by a policy, for a caller who may otherwise do this.
    pub fn forbidden(resource: &str, name: &str, why: &str) -> ApiError {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        ApiError::new(403, "Forbidden", message).about(resource, name)
    }

    /// `kind` is the kind with its group, as in `Deployment.apps`.
    pub fn invalid(kind: &str, name: &str, errors: &FieldErrors) -> ApiError {
        let (kind_name, group) = kind.split_once('.').unwrap_or((kind, ""));
        let mut details = json!({"name": name, "kind": kind_name, "causes": errors.causes()});
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        ApiError::new(422, "Invalid", format!("{kind} {name:?} is invalid: {}", errors.summary())).with_details(details)
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn internal(message: impl fmt::Display) -> ApiError {
        ApiError::new(500, "InternalError", format!("Internal error occurred: {message}"))
            .with_details(json!({"causes": [{"message": message.to_string()}]}))
    }

    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, "ServiceUnavailable", message)
    }

    /// The watch or list position is no longer in the log.
    pub fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> ApiError {
        ApiError::new(429, "TooManyRequests", message).with_details(json!({"retryAfterSeconds": retry_after_seconds}))
    }

    pub fn method_not_allowed(message: impl Into<String>) -> ApiError {
        ApiError::new(405, "MethodNotAllowed", message)
    }

    pub fn unsupported_media_type(message: impl Into<String>) -> ApiError {
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// No such path at all, as opposed to no such object.
    pub fn no_such_path() -> ApiError {
        ApiError::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
    }

    fn about(self, resource: &str, name: &str) -> ApiError {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut details = serde_json::Map::new();
        if !name.is_empty() {
            details.insert("name".into(), json!(name));
        }
        if !group.is_empty() {
            details.insert("group".into(), json!(group));
        }
        details.insert("kind".into(), json!(plural));
        self.with_details(Value::Object(details))
    }

    pub fn code(&self) -> u16 {
        self.0.code
    }

    pub fn reason(&self) -> &str {
        self.0.reason
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    pub fn is_not_found(&self) -> bool {
        self.0.code == 404
    }

    pub fn is_already_exists(&self) -> bool {
        self.0.reason == "AlreadyExists"
    }

    pub fn is_conflict(&self) -> bool {
        self.0.reason == "Conflict"
    }

    pub fn is_too_many_requests(&self) -> bool {
        self.0.code == 429
    }

    /// The body that goes over the wire.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "reason": self.0.reason,
        });
        if let Some(details) = &self.0.details {
            status["details"] = details.clone();
        }
        status["code"] = json!(self.0.code);
        status
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}
