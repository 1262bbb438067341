//! Label selectors and node selector terms.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::scheduling::view::{NodeTerm, Operator, Requirement, Selector};

pub(super) fn operator(text: &str) -> Operator {
    match text {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        _ => Operator::Unknown,
    }
}

/// `LabelSelectorAsSelector`: an absent selector matches nothing, an empty one everything.
pub(super) fn label_selector(selector: Option<&LabelSelector>) -> Selector {
    let Some(selector) = selector else { return Selector::Nothing };
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| Requirement::equals(key, value));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| Requirement {
        key: expression.key.clone(),
        operator: operator(&expression.operator),
        values: expression.values.clone().unwrap_or_default(),
    });
    Selector::All(labels.chain(expressions).collect())
}

pub(super) fn node_term(term: &NodeSelectorTerm) -> NodeTerm {
    NodeTerm { labels: requirements(&term.match_expressions), fields: requirements(&term.match_fields) }
}

fn requirements(list: &Option<Vec<NodeSelectorRequirement>>) -> Vec<Requirement> {
    list.iter()
        .flatten()
        .map(|r| Requirement {
            key: r.key.clone(),
            operator: operator(&r.operator),
            values: r.values.clone().unwrap_or_default(),
        })
        .collect()
}
