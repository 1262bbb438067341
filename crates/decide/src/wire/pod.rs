//! Pods: from the Kubernetes object to [`PodView`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use units::{Bytes, Millicores};

use super::resources::{amount, is_pod_level, resources};
use super::selector::{label_selector, node_term, operator};
use super::time::instant;
use crate::scheduling::view::{
    AffinityTerm, HostPort, InclusionPolicy, OwnerView, PodPhase, PodView, Requirement, Resources, SpreadConstraint,
    TaintEffect, Toleration, TolerationOperator, VolumeSource, VolumeView, WeightedAffinityTerm, WeightedNodeTerm,
};

/// What a container that names no request counts for in the scores (`DefaultMilliCPURequest`, `DefaultMemoryRequest`).
const DEFAULT_CPU: Millicores = Millicores(100);
const DEFAULT_MEMORY: Bytes = Bytes(200 * 1024 * 1024);

type Requests = BTreeMap<String, WireQuantity>;

/// The decision view of a pod. Never fails: what the API would have refused (an operator that does not exist, a quantity
/// that does not parse) counts as something that matches nothing, or as zero.
pub fn pod_view(pod: &api::Pod) -> PodView {
    let empty_spec = api::PodSpec::default();
    let empty_status = api::PodStatus::default();
    let (spec, status) = (pod.spec.as_ref().unwrap_or(&empty_spec), pod.status.as_ref().unwrap_or(&empty_status));
    let mut view = PodView {
        namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        annotations: decisive_annotations(pod),
        owner: controller(pod),
        scheduler_name: spec.scheduler_name.clone().unwrap_or_default(),
        node: spec.node_name.clone().filter(|name| !name.is_empty()),
        nominated_node: status.nominated_node_name.clone().filter(|name| !name.is_empty()),
        phase: phase(status),
        priority: spec.priority,
        priority_class: spec.priority_class_name.clone().unwrap_or_default(),
        never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        tolerations: spec.tolerations.iter().flatten().filter_map(toleration).collect(),
        gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
        host_ports: host_ports(spec),
        images: images(spec),
        container_count: count(spec),
        grace_period_seconds: spec.termination_grace_period_seconds,
        created: pod.metadata.creation_timestamp.as_ref().map(instant).unwrap_or_default(),
        started: status.start_time.as_ref().map(instant),
        deleting: pod.metadata.deletion_timestamp.as_ref().map(instant),
        ..PodView::default()
    };
    fill_requests(&mut view, spec, status);
    fill_conditions(&mut view, status);
    fill_affinity(&mut view, spec);
    view.spread = spec.topology_spread_constraints.iter().flatten().map(|c| spread(c, &view.labels)).collect();
    view.volumes = spec.volumes.iter().flatten().filter_map(|volume| volume_view(volume, &view.name)).collect();
    view
}

fn decisive_annotations(pod: &api::Pod) -> BTreeMap<String, String> {
    pod.metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| {
            key.starts_with("cluster-autoscaler.kubernetes.io/") || key.as_str() == "kubernetes.io/config.mirror"
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn controller(pod: &api::Pod) -> Option<OwnerView> {
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    Some(OwnerView {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

fn phase(status: &api::PodStatus) -> PodPhase {
    match status.phase.as_deref() {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn fill_conditions(view: &mut PodView, status: &api::PodStatus) {
    for condition in status.conditions.iter().flatten() {
        match (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_deref()) {
            ("DisruptionTarget", "True", Some("PreemptionByScheduler")) => view.preempted = view.deleting.is_some(),
            ("PodScheduled", "False", Some("Unschedulable")) => {
                view.unschedulable_since = condition.last_transition_time.as_ref().map(instant).or(Some(view.created));
            }
            _ => {}
        }
    }
}

/// As `PodRequests` of k8s.io/component-helpers v0.36.3 `resource/helpers.go`: the sum over containers and restartable
/// init containers, or the largest init container with the restartable ones before it; pod-level requests replace it;
/// overhead comes on top. What a resize already took counts until it is given back.
fn fill_requests(view: &mut PodView, spec: &api::PodSpec, status: &api::PodStatus) {
    view.requests = aggregate(spec, status, false);
    let nonzero = aggregate(spec, status, true);
    view.nonzero_cpu = nonzero.cpu;
    view.nonzero_memory = nonzero.memory;
}

fn aggregate(spec: &api::PodSpec, status: &api::PodStatus, fill_missing: bool) -> Resources {
    let infeasible = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"));
    let container_requests = |container: &api::Container| {
        let named = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let mut total = effective(named, statuses.into_iter().find(|s| s.name == container.name), infeasible);
        if fill_missing {
            if named.is_none_or(|r| !r.contains_key("cpu")) {
                total.cpu += DEFAULT_CPU;
            }
            if named.is_none_or(|r| !r.contains_key("memory")) {
                total.memory += DEFAULT_MEMORY;
            }
        }
        total
    };
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&container_requests(container));
    }
    let (mut sidecars, mut init) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let own = container_requests(container);
        let mut at_once = sidecars.clone();
        at_once.add(&own);
        if container.restart_policy.as_deref() == Some("Always") {
            total.add(&own);
            sidecars = at_once.clone();
        }
        init.raise_to(&at_once);
    }
    total.raise_to(&init);
    for (name, quantity) in spec.resources.iter().filter_map(|r| r.requests.as_ref()).flatten() {
        if is_pod_level(name) {
            replace(&mut total, name, quantity);
        }
    }
    if let Some(overhead) = &spec.overhead {
        total.add(&resources(overhead));
    }
    total
}

fn effective(named: Option<&Requests>, status: Option<&api::ContainerStatus>, infeasible: bool) -> Resources {
    let mut total = named.map(resources).unwrap_or_default();
    let Some((status, actuated)) = status.and_then(|s| Some((s, s.resources.as_ref()?))) else { return total };
    if infeasible {
        total = Resources::default();
    }
    if let Some(requests) = &actuated.requests {
        total.raise_to(&resources(requests));
    }
    if let Some(allocated) = &status.allocated_resources {
        total.raise_to(&resources(allocated));
    }
    total
}

fn replace(total: &mut Resources, name: &str, quantity: &WireQuantity) {
    match name {
        "cpu" => total.cpu = amount(quantity).millicores(),
        "memory" => total.memory = amount(quantity).bytes(),
        _ => {
            total.scalar.insert(name.to_owned(), amount(quantity).value());
        }
    }
}

fn toleration(toleration: &api::Toleration) -> Option<Toleration> {
    Some(Toleration {
        key: toleration.key.clone().unwrap_or_default(),
        operator: match toleration.operator.as_deref() {
            None | Some("" | "Equal") => TolerationOperator::Equal,
            Some("Exists") => TolerationOperator::Exists,
            // `Gt` and `Lt` are behind a feature gate that is off in 1.36; there they tolerate nothing.
            Some(_) => return None,
        },
        value: toleration.value.clone().unwrap_or_default(),
        effect: match toleration.effect.as_deref() {
            None | Some("") => None,
            Some(text) => Some(effect(text)?),
        },
    })
}

pub(super) fn effect(text: &str) -> Option<TaintEffect> {
    match text {
        "NoSchedule" => Some(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Some(TaintEffect::PreferNoSchedule),
        "NoExecute" => Some(TaintEffect::NoExecute),
        _ => None,
    }
}

/// Containers and restartable init containers hold their ports for as long as the pod runs.
fn host_ports(spec: &api::PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            // With the host's network, the API server defaults the host port to the container's.
            let number = port.host_port.or((spec.host_network == Some(true)).then_some(port.container_port))?;
            (number > 0).then(|| HostPort {
                address: port.host_ip.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}

fn images(spec: &api::PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers).filter_map(|c| c.image.as_deref());
    let volumes =
        spec.volumes.iter().flatten().filter_map(|v| v.image.as_ref()).filter_map(|image| image.reference.as_deref());
    containers.chain(volumes).map(normalized_image).collect()
}

/// As upstream's ImageLocality: `:latest` where the last `:` is not behind the last `/`.
pub(super) fn normalized_image(name: &str) -> String {
    if name.rfind(':').map_or(-1, |i| i as i64) <= name.rfind('/').map_or(-1, |i| i as i64) {
        format!("{name}:latest")
    } else {
        name.to_owned()
    }
}

fn count(spec: &api::PodSpec) -> i64 {
    let total = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    i64::try_from(total).unwrap_or(i64::MAX)
}

fn fill_affinity(view: &mut PodView, spec: &api::PodSpec) {
    let Some(affinity) = &spec.affinity else { return };
    if let Some(nodes) = &affinity.node_affinity {
        view.node_affinity = nodes
            .required_during_scheduling_ignored_during_execution
            .as_ref()
            .map(|required| required.node_selector_terms.iter().map(node_term).collect());
        view.preferred_nodes = nodes
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten()
            .map(|term| WeightedNodeTerm { weight: term.weight, term: node_term(&term.preference) })
            .collect();
    }
    let (namespace, labels) = (view.namespace.clone(), view.labels.clone());
    let term = |term: &api::PodAffinityTerm| affinity_term(term, &namespace, &labels);
    let weighted = |weighted: &api::WeightedPodAffinityTerm| WeightedAffinityTerm {
        weight: weighted.weight,
        term: term(&weighted.pod_affinity_term),
    };
    if let Some(pods) = &affinity.pod_affinity {
        let required = &pods.required_during_scheduling_ignored_during_execution;
        view.affinity = required.iter().flatten().map(&term).collect();
        let preferred = &pods.preferred_during_scheduling_ignored_during_execution;
        view.preferred_affinity = preferred.iter().flatten().map(&weighted).collect();
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let required = &pods.required_during_scheduling_ignored_during_execution;
        view.anti_affinity = required.iter().flatten().map(&term).collect();
        let preferred = &pods.preferred_during_scheduling_ignored_during_execution;
        view.preferred_anti_affinity = preferred.iter().flatten().map(&weighted).collect();
    }
}

/// The API server has merged `matchLabelKeys` and `mismatchLabelKeys` into the selector already; merging them again
/// changes nothing, and serves objects that never went through one.
fn affinity_term(term: &api::PodAffinityTerm, namespace: &str, labels: &BTreeMap<String, String>) -> AffinityTerm {
    let mut selector = label_selector(term.label_selector.as_ref());
    let pinned = |keys: &Option<Vec<String>>, op: &str| -> Vec<Requirement> {
        let keys = keys.iter().flatten();
        keys.filter_map(|key| {
            Some(Requirement { key: key.clone(), operator: operator(op), values: vec![labels.get(key)?.clone()] })
        })
        .collect()
    };
    selector.and(pinned(&term.match_label_keys, "In"));
    selector.and(pinned(&term.mismatch_label_keys, "NotIn"));
    let mut namespaces = term.namespaces.clone().unwrap_or_default();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.push(namespace.to_owned());
    }
    AffinityTerm {
        topology_key: term.topology_key.clone(),
        selector,
        namespaces,
        namespace_selector: label_selector(term.namespace_selector.as_ref()),
    }
}

fn spread(constraint: &api::TopologySpreadConstraint, labels: &BTreeMap<String, String>) -> SpreadConstraint {
    let mut selector = label_selector(constraint.label_selector.as_ref());
    let keys = constraint.match_label_keys.iter().flatten();
    selector.and(keys.filter_map(|key| Some(Requirement::equals(key, labels.get(key)?))));
    let policy = |text: &Option<String>, default| match text.as_deref() {
        Some("Honor") => InclusionPolicy::Honor,
        Some("Ignore") => InclusionPolicy::Ignore,
        _ => default,
    };
    SpreadConstraint {
        max_skew: constraint.max_skew,
        topology_key: constraint.topology_key.clone(),
        hard: constraint.when_unsatisfiable == "DoNotSchedule",
        selector,
        min_domains: constraint.min_domains.unwrap_or(1),
        node_affinity_policy: policy(&constraint.node_affinity_policy, InclusionPolicy::Honor),
        node_taints_policy: policy(&constraint.node_taints_policy, InclusionPolicy::Ignore),
    }
}

fn volume_view(volume: &api::Volume, pod: &str) -> Option<VolumeView> {
    let source = if let Some(claim) = &volume.persistent_volume_claim {
        VolumeSource::Claim { name: claim.claim_name.clone() }
    } else if volume.ephemeral.is_some() {
        VolumeSource::Ephemeral { claim: format!("{pod}-{}", volume.name) }
    } else if let Some(dir) = &volume.empty_dir {
        VolumeSource::EmptyDir { memory: dir.medium.as_deref() == Some("Memory") }
    } else if volume.host_path.is_some() {
        VolumeSource::HostPath
    } else if let Some(disk) = &volume.gce_persistent_disk {
        VolumeSource::GcePersistentDisk { disk: disk.pd_name.clone(), read_only: disk.read_only == Some(true) }
    } else if let Some(disk) = &volume.aws_elastic_block_store {
        VolumeSource::AwsElasticBlockStore { volume: disk.volume_id.clone() }
    } else if let Some(target) = &volume.iscsi {
        VolumeSource::Iscsi { iqn: target.iqn.clone(), read_only: target.read_only == Some(true) }
    } else if let Some(rbd) = &volume.rbd {
        VolumeSource::Rbd {
            monitors: rbd.monitors.clone(),
            pool: rbd.pool.clone().unwrap_or_else(|| "rbd".to_owned()),
            image: rbd.image.clone(),
            read_only: rbd.read_only == Some(true),
        }
    } else {
        return None;
    };
    Some(VolumeView { name: volume.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, expected: impl Fn(&PodView)) {
        let pod = json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": spec});
        let view = pod_view(&serde_json::from_value(pod).expect("a valid pod"));
        expected(&view);
        let text = serde_json::to_string(&view).expect("views serialise");
        assert_eq!(serde_json::from_str::<PodView>(&text).expect("views deserialise"), view);
    }

    #[test]
    fn requests_are_the_larger_of_init_and_running() {
        let container = |cpu: &str| json!({"name": cpu, "resources": {"requests": {"cpu": cpu}}});
        check(
            json!({"containers": [container("300m"), container("200m")], "initContainers": [container("400m")]}),
            |v| {
                assert_eq!(v.requests.cpu, Millicores(500));
                assert_eq!(
                    v.nonzero_memory,
                    Bytes(2 * 200 * 1024 * 1024),
                    "two containers run at once, one before them"
                );
            },
        );
        let mut sidecar = container("100m");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({"containers": [container("200m")], "initContainers": [sidecar, container("1")],
            "overhead": {"cpu": "50m"}});
        check(spec, |v| assert_eq!(v.requests.cpu, Millicores(1150)));
        let spec = json!({"containers": [container("200m")], "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}});
        check(spec, |v| {
            assert_eq!(v.requests.cpu, Millicores(1000));
            assert_eq!(v.requests.memory, Bytes(1 << 30));
        });
    }

    #[test]
    fn affinity_terms_default_to_the_pods_namespace() {
        let term =
            json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["app"]});
        let spec = json!({"containers": [], "affinity": {"podAntiAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        check(spec, |v| {
            assert_eq!(v.anti_affinity[0].namespaces, ["shop"]);
            assert!(v.anti_affinity[0].selector.matches(&v.labels));
        });
    }

    #[test]
    fn images_get_the_tag_latest() {
        assert_eq!(normalized_image("registry:5000/web"), "registry:5000/web:latest");
        assert_eq!(normalized_image("registry:5000/web:1"), "registry:5000/web:1");
        assert_eq!(normalized_image("web"), "web:latest");
    }
}
