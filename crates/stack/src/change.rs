//! What `up` would do, as data: previews, drift and the summary of an `up` print the same list.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    Create,
    Modify,
    Delete,
    /// Azure stops managing it and leaves it where it is.
    Detach,
}

impl ChangeKind {
    pub fn sign(self) -> char {
        match self {
            ChangeKind::Create => '+',
            ChangeKind::Modify => '~',
            ChangeKind::Delete => '-',
            ChangeKind::Detach => '×',
        }
    }
}

/// A property that differs. Values of secrets are never part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PropertyChange {
    /// Dotted path from the resource's root.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// One resource or object that differs from what the stack declares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// A resource's id below its subscription, or `Kind namespace/name`.
    pub target: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<PropertyChange>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.sign(), self.target)?;
        for property in &self.properties {
            write!(
                f,
                "\n    {}: {} → {}",
                property.path,
                short(property.before.as_ref()),
                short(property.after.as_ref())
            )?;
        }
        Ok(())
    }
}

/// A value on one line, cut where it would fill the screen.
fn short(value: Option<&Value>) -> String {
    const LIMIT: usize = 80;
    let Some(value) = value else { return "(none)".to_owned() };
    let text = match value {
        Value::String(text) => text.replace('\n', "⏎"),
        other => other.to_string(),
    };
    if text.chars().count() <= LIMIT { text } else { text.chars().take(LIMIT).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_a_change_with_its_properties() {
        let change = Change {
            kind: ChangeKind::Modify,
            target: "Deployment platform/backend".into(),
            properties: vec![PropertyChange { path: "spec.paused".into(), before: Some(json!(true)), after: None }],
        };
        assert_eq!(change.to_string(), "~ Deployment platform/backend\n    spec.paused: true → (none)");
    }
}
