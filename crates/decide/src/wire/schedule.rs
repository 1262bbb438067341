//! `marea decide schedule`: one pod on one cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::{
    budget_view, claim_view, csi_node_view, namespace_view, persistent_volume_view, priority_class_view,
    replica_set_selector, replication_controller_selector, service_view, stateful_set_selector, storage_class_view,
};
use super::input::{InputError, strict};
use super::node::node_view;
use super::pod::pod_view;
use crate::report::Report;
use crate::scheduling::view::PodView;
use crate::scheduling::{Cluster, NodeVerdict, Outcome, Placement, Profile, TieBreak, schedule};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    nodes: Vec<Node>,
    pod: Pod,
    #[serde(default)]
    pods: Vec<Pod>,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    replicasets: Vec<ReplicaSet>,
    #[serde(default)]
    statefulsets: Vec<StatefulSet>,
    #[serde(default)]
    replicationcontrollers: Vec<ReplicationController>,
    #[serde(default)]
    persistentvolumeclaims: Vec<PersistentVolumeClaim>,
    #[serde(default)]
    persistentvolumes: Vec<PersistentVolume>,
    #[serde(default)]
    storageclasses: Vec<StorageClass>,
    #[serde(default)]
    csinodes: Vec<CSINode>,
    #[serde(default)]
    priorityclasses: Vec<PriorityClass>,
    #[serde(default)]
    pdbs: Vec<PodDisruptionBudget>,
    #[serde(default)]
    namespaces: Vec<Namespace>,
    percentage_of_nodes_to_score: Option<u8>,
}

#[derive(Serialize)]
struct Output {
    /// `true`, or the message of the first filter that rejected the node.
    feasible: BTreeMap<String, Value>,
    scores: BTreeMap<String, BTreeMap<String, i64>>,
    best: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preemption: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    report: Report,
}

/// Answers one JSON document by one line.
///
/// # Errors
/// Where the text is not JSON, a field is unknown or mistyped, or an object lacks what identifies it.
pub fn run_line(line: &str) -> Result<String, InputError> {
    let document: Value =
        serde_json::from_str(line).map_err(|error| InputError::new("", format!("not a JSON document: {error}")))?;
    run(&document)
}

/// The same for a document that is parsed already, as `input::documents` hands it out.
///
/// # Errors
/// As [`run_line`].
pub fn run(document: &Value) -> Result<String, InputError> {
    let input: Input = strict(document)?;
    let percentage = input.percentage_of_nodes_to_score.unwrap_or(100);
    if percentage > 100 {
        return Err(InputError::new("percentageOfNodesToScore", format!("{percentage} is not within 0 and 100")));
    }
    let cluster = cluster(&input)?;
    let mut pod = pod_view(&input.pod);
    require_name(&pod, "pod")?;
    pod.nominated_node = pod.nominated_node.filter(|node| cluster.node(node).is_some());
    let profile = Profile { percentage_of_nodes_to_score: percentage };
    let outcome = schedule(&cluster, &pod, &profile, &mut TieBreak::new(0));
    let output = output(outcome);
    serde_json::to_string(&output)
        .map_err(|error| InputError::new("", format!("the answer cannot be written: {error}")))
}

fn require_name(pod: &PodView, path: &str) -> Result<(), InputError> {
    if pod.name.is_empty() {
        return Err(InputError::new(format!("{path}.metadata.name"), "a pod needs a name"));
    }
    Ok(())
}

fn cluster(input: &Input) -> Result<Cluster, InputError> {
    let mut cluster = Cluster::new();
    cluster.set_priority_classes(input.priorityclasses.iter().map(priority_class_view));
    cluster.set_namespaces(input.namespaces.iter().map(namespace_view));
    cluster.set_services(input.services.iter().filter_map(service_view));
    let owners = input.replicasets.iter().map(replica_set_selector);
    let owners = owners.chain(input.statefulsets.iter().map(stateful_set_selector));
    cluster.set_owners(owners.chain(input.replicationcontrollers.iter().map(replication_controller_selector)));
    cluster.set_budgets(input.pdbs.iter().map(budget_view));
    cluster.set_claims(input.persistentvolumeclaims.iter().map(claim_view));
    cluster.set_volumes(input.persistentvolumes.iter().map(persistent_volume_view));
    cluster.set_storage_classes(input.storageclasses.iter().map(storage_class_view));
    cluster.set_csi_nodes(input.csinodes.iter().map(csi_node_view));
    for (index, node) in input.nodes.iter().enumerate() {
        let view = node_view(node);
        if view.name.is_empty() {
            return Err(InputError::new(format!("nodes[{index}].metadata.name"), "a node needs a name"));
        }
        if cluster.node(&view.name).is_some() {
            return Err(InputError::new(format!("nodes[{index}]"), format!("node `{}` appears twice", view.name)));
        }
        cluster.upsert_node(view);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, pod) in input.pods.iter().enumerate() {
        let view = pod_view(pod);
        require_name(&view, &format!("pods[{index}]"))?;
        if !seen.insert(view.key()) {
            return Err(InputError::new(format!("pods[{index}]"), format!("pod `{}` appears twice", view.key())));
        }
        cluster.upsert_pod(view);
    }
    Ok(cluster)
}

/// An outcome in the format of the answers.
pub fn answer(outcome: Outcome) -> Value {
    serde_json::to_value(output(outcome)).unwrap_or_default()
}

fn output(outcome: Outcome) -> Output {
    let (mut feasible, mut scores) = (BTreeMap::new(), BTreeMap::new());
    for result in outcome.nodes {
        match result.verdict {
            NodeVerdict::Feasible { scores: mut by_plugin, total } => {
                feasible.insert(result.node.clone(), json!(true));
                by_plugin.insert("total".to_owned(), total);
                scores.insert(result.node, by_plugin);
            }
            NodeVerdict::Rejected { message, .. } => {
                feasible.insert(result.node, json!(message));
            }
        }
    }
    let (best, preemption, message) = match outcome.placement {
        Placement::Bound { best, .. } => (best, None, None),
        Placement::Gated { message } => (Vec::new(), None, Some(message)),
        Placement::Unschedulable { message, preemption, .. } => {
            let preemption = preemption.map(|p| {
                let victims: Vec<String> = p.victims.iter().map(ToString::to_string).collect();
                json!({"node": p.node, "victims": victims})
            });
            (Vec::new(), preemption, Some(message))
        }
    };
    Output { feasible, scores, best, preemption, message, report: outcome.report }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: Value, expected: Value) {
        let line = run(&document).expect("a valid document");
        let answer: Value = serde_json::from_str(&line).unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&answer[field], value, "{field} of {line}");
        }
    }

    fn node(name: &str, cpu: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
               "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
    }

    fn pod(name: &str, cpu: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"},
               "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}})
    }

    #[test]
    fn the_emptier_node_is_best() {
        let mut bound = pod("old", "1");
        bound["spec"]["nodeName"] = json!("a");
        check(
            json!({"nodes": [node("a", "4"), node("b", "4"), node("c", "500m")], "pods": [bound], "pod": pod("web", "1")}),
            json!({"feasible": {"a": true, "b": true, "c": "Insufficient cpu"}, "best": ["b"],
                   "scores": {
                     "a": {"TaintToleration": 300, "NodeResourcesFit": 62, "NodeResourcesBalancedAllocation": 72,
                           "ImageLocality": 0, "total": 434},
                     "b": {"TaintToleration": 300, "NodeResourcesFit": 81, "NodeResourcesBalancedAllocation": 71,
                           "ImageLocality": 0, "total": 452}}}),
        );
    }

    #[test]
    fn preemption_names_node_and_victims() {
        let mut low = pod("low", "3");
        low["spec"]["nodeName"] = json!("a");
        let mut high = pod("high", "2");
        high["spec"]["priority"] = json!(100);
        check(
            json!({"nodes": [node("a", "4"), node("b", "1")], "pods": [low], "pod": high}),
            json!({"feasible": {"a": "Insufficient cpu", "b": "Insufficient cpu"}, "best": [],
                   "preemption": {"node": "a", "victims": ["shop/low"]}}),
        );
    }

    #[test]
    fn a_missing_claim_rejects_every_node() {
        let mut claiming = pod("web", "1");
        claiming["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        let reason = "persistentvolumeclaim \"data\" not found";
        check(
            json!({"nodes": [node("a", "4")], "pod": claiming}),
            json!({"feasible": {"a": reason},
                   "message": format!("0/1 nodes are available: {reason}. not found")}),
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (document, expected) in [
            (json!({"nodes": [], "pod": pod("a", "1"), "pdb": []}), "pdb: unknown field"),
            (json!({"nodes": []}), "missing field `pod`"),
            (
                json!({"nodes": [node("a", "1"), node("a", "1")], "pod": pod("a", "1")}),
                "nodes[1]: node `a` appears twice",
            ),
            (json!({"nodes": [], "pod": {"metadata": {}}}), "pod.metadata.name: a pod needs a name"),
        ] {
            assert_eq!(run(&document).unwrap_err().to_string(), expected);
        }
        assert!(run_line("{").unwrap_err().to_string().starts_with("not a JSON document"));
    }
}
