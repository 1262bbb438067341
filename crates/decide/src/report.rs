//! The reasons of a decision, as data. One report feeds `marea explain`, the console, the logs and the golden files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a decision came out as it did, most general statement first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One sentence that stands alone.
    pub summary: String,
    pub reasons: Vec<Reason>,
}

/// One rule that took part, with the numbers it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable, dotted id such as `hpa.metric.cpu` or `hpa.limit.scale-up`.
    pub rule: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
}

impl Report {
    pub fn new(summary: impl Into<String>) -> Report {
        Report { summary: summary.into(), reasons: Vec::new() }
    }

    pub fn push(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }
}

impl Reason {
    pub fn new(rule: impl Into<String>, text: impl Into<String>) -> Reason {
        Reason { rule: rule.into(), text: text.into(), inputs: BTreeMap::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Reason {
        self.inputs.insert(name.to_owned(), value.into());
        self
    }
}
