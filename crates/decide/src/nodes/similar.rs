//! Groups whose nodes are alike, between which a scale-up may be balanced.
//!
//! After `processors/nodegroupset/{compare_nodegroups,azure_nodegroups}.go` of cluster-autoscaler 1.36.1.

use std::collections::BTreeMap;

use crate::scheduling::view::{NodeView, Resources};

/// Labels that differ between groups by nature.
const IGNORED: [&str; 16] = [
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/fluentd-ds-ready",
    "kops.k8s.io/instancegroup",
    "agentpool",
    "kubernetes.azure.com/agentpool",
    "topology.disk.csi.azure.com/zone",
    "aksEngineVersion",
    "creationSource",
    "poolName",
    "resourceNameSuffix",
    "kubernetes.azure.com/consolidated-additional-properties",
    "kubernetes.azure.com/node-image-version",
];

/// Memory may differ by this much, as machines of one size report it differently.
const CAPACITY_TOLERANCE: f64 = 0.015;
const ALLOCATABLE_TOLERANCE: f64 = 0.05;
const FREE_TOLERANCE: f64 = 0.05;

/// Compares two templates, given what their daemon pods ask for.
pub(super) fn are_similar(a: &NodeView, on_a: &Resources, b: &NodeView, on_b: &Resources) -> bool {
    for label in ["kubernetes.azure.com/agentpool", "agentpool"] {
        if a.labels.get(label).is_some_and(|pool| !pool.is_empty() && b.labels.get(label) == Some(pool)) {
            return true;
        }
    }
    similar_capacity(&a.capacity, &b.capacity)
        && a.pod_limit == b.pod_limit
        && similar_allocatable(&a.allocatable, &b.allocatable)
        && similar_free((&a.allocatable, on_a), (&b.allocatable, on_b))
        && labels(a) == labels(b)
}

fn similar_capacity(a: &Resources, b: &Resources) -> bool {
    a.cpu == b.cpu
        && a.ephemeral_storage == b.ephemeral_storage
        && a.scalar == b.scalar
        && within(a.memory.0, b.memory.0, CAPACITY_TOLERANCE)
}

fn similar_allocatable(a: &Resources, b: &Resources) -> bool {
    within(a.cpu.0, b.cpu.0, ALLOCATABLE_TOLERANCE)
        && within(a.memory.0, b.memory.0, ALLOCATABLE_TOLERANCE)
        && within(a.ephemeral_storage.0, b.ephemeral_storage.0, ALLOCATABLE_TOLERANCE)
}

fn similar_free((all_a, on_a): (&Resources, &Resources), (all_b, on_b): (&Resources, &Resources)) -> bool {
    let cpu = within((all_a.cpu - on_a.cpu).0, (all_b.cpu - on_b.cpu).0, FREE_TOLERANCE);
    cpu && within((all_a.memory - on_a.memory).0, (all_b.memory - on_b.memory).0, FREE_TOLERANCE)
}

fn within(a: i64, b: i64, tolerance: f64) -> bool {
    let (larger, smaller) = (a.max(b) as f64, a.min(b) as f64);
    larger - smaller <= larger * tolerance
}

fn labels(node: &NodeView) -> BTreeMap<&String, &String> {
    node.labels.iter().filter(|(key, _)| !IGNORED.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Bytes, Millicores};

    fn node(pool: &str, zone: &str, memory: i64) -> NodeView {
        let mut view = NodeView::new(pool);
        view.capacity = Resources { cpu: Millicores(2000), memory: Bytes(memory), ..Resources::default() };
        view.allocatable = view.capacity.clone();
        view.labels = [("agentpool", pool), ("topology.kubernetes.io/zone", zone), ("tier", "web")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        view
    }

    fn check(change: impl Fn(&mut NodeView), expected: bool) {
        let (a, mut b) = (node("a", "1", 1000), node("b", "2", 1000));
        change(&mut b);
        let nothing = Resources::default();
        assert_eq!(are_similar(&a, &nothing, &b, &nothing), expected, "{b:?}");
    }

    #[test]
    fn daemon_pods_may_make_groups_differ() {
        let (a, b) = (node("a", "1", 1000), node("b", "2", 1000));
        let daemon = |cpu| Resources { cpu: Millicores(cpu), ..Resources::default() };
        assert!(are_similar(&a, &daemon(500), &b, &daemon(550)));
        assert!(!are_similar(&a, &daemon(500), &b, &daemon(600)));
        // What counts is what is left, and of little a small difference is much.
        assert!(are_similar(&a, &daemon(1000), &b, &daemon(1000)));
        assert!(!are_similar(&a, &daemon(1900), &b, &daemon(1880)));
        let memory = |memory| Resources { memory: Bytes(memory), ..Resources::default() };
        assert!(are_similar(&a, &memory(500), &b, &memory(500)));
        assert!(!are_similar(&a, &memory(950), &b, &memory(940)));
    }

    #[test]
    fn groups_differ_by_what_pods_can_tell() {
        check(|_| {}, true);
        check(|b| b.capacity.memory = Bytes(990), true);
        check(|b| b.capacity.memory = Bytes(900), false);
        check(|b| b.capacity.cpu = Millicores(4000), false);
        check(|b| drop(b.labels.insert("tier".into(), "db".into())), false);
        check(|b| drop(b.labels.insert("extra".into(), String::new())), false);
        check(
            |b| {
                b.capacity.cpu = Millicores(4000);
                b.labels.insert("agentpool".into(), "a".into());
            },
            true,
        );
    }
}
