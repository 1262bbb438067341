//! Label and field selectors: parsing as the API's query parameters and objects write them, and matching.

mod fields;
mod labels;
mod lexer;
mod names;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use fields::{FieldSelector, supported_fields};
pub use labels::{LabelSelector, Operator, Requirement};
pub use names::{label_value_problem, qualified_name_problem};

/// A selector that does not parse; the text says where and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

/// What a list or watch asks for. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selector {
    /// Parses the query parameters `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// When one of them does not parse.
    pub fn parse(labels: &str, fields: &str) -> Result<Selector, SelectorError> {
        Ok(Selector { labels: LabelSelector::parse(labels)?, fields: FieldSelector::parse(fields)? })
    }

    /// True when everything is selected.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}
