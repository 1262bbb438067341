//! Validation failures by field, worded as upstream's `field.Error` (apimachinery `util/validation/field/errors.go`).

use serde_json::{Value, json};

#[derive(Clone, Debug)]
struct FieldError {
    field: String,
    reason: &'static str,
    body: String,
}

/// Everything that is wrong with one object.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        let separator = if detail.is_empty() { "" } else { ": " };
        self.push(field, "FieldValueInvalid", format!("Invalid value: {value}{separator}{detail}"));
    }

    pub fn required(&mut self, field: impl Into<String>, detail: &str) {
        let body = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        self.push(field, "FieldValueRequired", body);
    }

    pub fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.push(field, "FieldValueForbidden", format!("Forbidden: {detail}"));
    }

    pub fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.push(field, "FieldValueDuplicate", format!("Duplicate value: {value}"));
    }

    pub fn not_found(&mut self, field: impl Into<String>, value: &Value) {
        self.push(field, "FieldValueNotFound", format!("Not found: {value}"));
    }

    pub fn not_supported(&mut self, field: impl Into<String>, value: &Value, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let body = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        self.push(field, "FieldValueNotSupported", body);
    }

    /// Takes over errors that were found below `path`.
    pub fn nest(&mut self, path: &str, inner: FieldErrors) {
        self.0
            .extend(inner.0.into_iter().map(|error| FieldError { field: format!("{path}.{}", error.field), ..error }));
    }

    pub fn push(&mut self, field: impl Into<String>, reason: &'static str, body: String) {
        self.0.push(FieldError { field: field.into(), reason, body });
    }

    /// One error as it is, several in brackets, each once, as upstream's aggregate prints them.
    pub fn summary(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for error in &self.0 {
            let line = format!("{}: {}", error.field, error.body);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        match lines.len() {
            1 => lines.remove(0),
            _ => format!("[{}]", lines.join(", ")),
        }
    }

    pub fn causes(&self) -> Value {
        self.0.iter().map(|e| json!({"reason": e.reason, "message": e.body, "field": e.field})).collect()
    }
}
