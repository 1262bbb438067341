//! Label selectors and node selector terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// Only in node selector terms: the label is an integer above the one value.
    Gt,
    /// Only in node selector terms: the label is an integer below the one value.
    Lt,
    /// An operator that the API does not know. The API refuses it; where one arrives all the same, it matches nothing,
    /// as a term that upstream cannot parse does.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Requirement {
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Requirement {
        Requirement { key: key.into(), operator: Operator::In, values: vec![value.into()] }
    }

    /// Whether a label of the given value (`None`: absent) satisfies this. As upstream's `labels.Requirement`, `NotIn`
    /// holds where the label is absent.
    pub fn holds(&self, label: Option<&str>) -> bool {
        match self.operator {
            Operator::In => label.is_some_and(|value| self.values.iter().any(|v| v == value)),
            Operator::NotIn => label.is_none_or(|value| self.values.iter().all(|v| v != value)),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::Gt => self.compare(label).is_some_and(|(label, bound)| label > bound),
            Operator::Lt => self.compare(label).is_some_and(|(label, bound)| label < bound),
            Operator::Unknown => false,
        }
    }

    fn compare(&self, label: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = self.values.as_slice() else { return None };
        Some((label?.parse().ok()?, bound.parse().ok()?))
    }
}

/// A label selector. The API's absent selector matches nothing, its empty one everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selector {
    #[default]
    Nothing,
    All(Vec<Requirement>),
}

impl Selector {
    pub fn everything() -> Selector {
        Selector::All(Vec::new())
    }

    pub fn from_labels(labels: &BTreeMap<String, String>) -> Selector {
        Selector::All(labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Selector::Nothing => false,
            Selector::All(requirements) => requirements.iter().all(|r| r.holds(labels.get(&r.key).map(String::as_str))),
        }
    }

    /// Upstream's `Selector.Empty()`: no requirement at all. `Nothing` is not empty.
    pub fn is_empty(&self) -> bool {
        matches!(self, Selector::All(requirements) if requirements.is_empty())
    }

    /// Adds requirements; `Nothing` stays nothing.
    pub fn and(&mut self, more: impl IntoIterator<Item = Requirement>) {
        if let Selector::All(requirements) = self {
            requirements.extend(more);
        }
    }
}

/// One alternative of a node selector: all of it must hold, and an empty one holds for no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTerm {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Requirement>,
    /// On `metadata.name`, the only field that the API allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Requirement>,
}

impl NodeTerm {
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        !self.is_empty()
            && self.labels.iter().all(|r| r.holds(labels.get(&r.key).map(String::as_str)))
            && self.fields.iter().all(|r| r.holds((r.key == "metadata.name").then_some(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requirement: Requirement, labels: &[(&str, &str)], expected: bool) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let selector = Selector::All(vec![requirement.clone()]);
        assert_eq!(selector.matches(&labels), expected, "{requirement:?} on {labels:?}");
    }

    fn requirement(operator: Operator, values: &[&str]) -> Requirement {
        Requirement { key: "k".into(), operator, values: values.iter().map(|v| (*v).to_owned()).collect() }
    }

    #[test]
    fn operators_follow_the_api() {
        check(requirement(Operator::In, &["a", "b"]), &[("k", "b")], true);
        check(requirement(Operator::In, &["a"]), &[], false);
        check(requirement(Operator::NotIn, &["a"]), &[], true);
        check(requirement(Operator::NotIn, &["a"]), &[("k", "a")], false);
        check(requirement(Operator::Exists, &[]), &[("k", "")], true);
        check(requirement(Operator::DoesNotExist, &[]), &[("k", "")], false);
        check(requirement(Operator::Gt, &["4"]), &[("k", "5")], true);
        check(requirement(Operator::Gt, &["5"]), &[("k", "5")], false);
        check(requirement(Operator::Lt, &["5"]), &[("k", "4")], true);
        check(requirement(Operator::Lt, &["5"]), &[("k", "four")], false);
        check(requirement(Operator::Lt, &["5"]), &[], false);
        check(requirement(Operator::Unknown, &[]), &[("k", "")], false);
    }

    #[test]
    fn absent_and_empty_selectors_differ() {
        assert!(!Selector::Nothing.matches(&BTreeMap::new()));
        assert!(Selector::everything().matches(&BTreeMap::new()));
        assert!(!NodeTerm::default().matches("n", &BTreeMap::new()), "an empty node term matches no node");
    }
}
