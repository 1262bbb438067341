//! What a pod asks of a node's labels and which taints it tolerates.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

/// Labels that a node must have: the node selector and the `In` expressions of the only required term. Several terms are
/// alternatives, which a map cannot say; then only the node selector counts.
pub(crate) fn required_labels(pod: &PodSpec) -> BTreeMap<String, Vec<String>> {
    let mut labels: BTreeMap<String, Vec<String>> =
        pod.node_selector.iter().flatten().map(|(key, value)| (key.clone(), vec![value.clone()])).collect();
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let Some([term]) = required.map(|required| required.node_selector_terms.as_slice()) else { return labels };
    for expression in term.match_expressions.iter().flatten().filter(|expression| expression.operator == "In") {
        labels.insert(expression.key.clone(), expression.values.clone().unwrap_or_default());
    }
    labels
}

/// Kubernetes' rule (`component-helpers/scheduling/corev1`, v1.36): an empty key tolerates everything, an empty effect every effect.
pub(crate) fn tolerates(tolerations: &[Toleration], taint: &str) -> bool {
    let Some((pair, effect)) = taint.rsplit_once(':') else { return false };
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    tolerations.iter().any(|toleration| {
        let key_fits = toleration.key.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == key);
        let effect_fits = toleration.effect.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == effect);
        let value_fits = match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => toleration.value.as_deref().unwrap_or_default() == value && toleration.key.is_some(),
        };
        key_fits && effect_fits && value_fits
    })
}
