//! Label selectors over typed objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::objects::Labels;

/// Whether `labels` satisfy the selector. An empty selector selects everything, as upstream's `LabelSelectorAsSelector`.
pub(crate) fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.match_labels.as_ref().is_none_or(|wanted| includes(labels, wanted))
        && selector.match_expressions.iter().flatten().all(|requirement| satisfies(requirement, labels))
}

pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(Labels::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether `labels` have every pair of `wanted`.
pub(crate) fn includes(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn satisfies(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = || value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // Admission refuses other operators; matching nothing is the safe reading of one that slipped through.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: &str, values: &[&str], expected_with: bool, expected_without: bool) {
        let selector = LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tier".into(),
                operator: operator.into(),
                values: Some(values.iter().map(ToString::to_string).collect()),
            }]),
        };
        let labels = Labels::from([("tier".to_owned(), "web".to_owned())]);
        assert_eq!(matches(&selector, &labels), expected_with, "{operator} with the label");
        assert_eq!(matches(&selector, &Labels::new()), expected_without, "{operator} without the label");
    }

    #[test]
    fn every_operator() {
        check("In", &["web", "db"], true, false);
        check("In", &["db"], false, false);
        check("NotIn", &["web"], false, true);
        check("NotIn", &["db"], true, true);
        check("Exists", &[], true, false);
        check("DoesNotExist", &[], false, true);
        check("Gt", &["1"], false, false);
    }
}
