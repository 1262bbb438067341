//! The objects around pods and nodes.

use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::pod_view;
use super::resources::amount;
use super::selector::{label_selector, node_term};
use crate::scheduling::view::{
    BudgetView, ClaimView, CsiNodeView, NamespaceView, NodeTerm, Operator, OwnerSelector, OwnerView,
    PersistentVolumeView, PodView, PriorityClassView, Requirement, Selector, ServiceView, StorageClassView,
    VolumeBindingMode,
};

fn names(metadata: &ObjectMeta) -> (String, String) {
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    (namespace, metadata.name.clone().unwrap_or_default())
}

/// `None` for a service without a selector, which takes no part in scheduling.
pub fn service_view(service: &Service) -> Option<ServiceView> {
    let (namespace, name) = names(&service.metadata);
    let selector = service.spec.as_ref()?.selector.clone()?;
    Some(ServiceView { namespace, name, selector })
}

pub fn replica_set_selector(set: &ReplicaSet) -> OwnerSelector {
    let (namespace, name) = names(&set.metadata);
    let selector = label_selector(set.spec.as_ref().map(|spec| &spec.selector));
    OwnerSelector { kind: "ReplicaSet".to_owned(), namespace, name, selector }
}

pub fn stateful_set_selector(set: &StatefulSet) -> OwnerSelector {
    let (namespace, name) = names(&set.metadata);
    let selector = label_selector(set.spec.as_ref().map(|spec| &spec.selector));
    OwnerSelector { kind: "StatefulSet".to_owned(), namespace, name, selector }
}

pub fn replication_controller_selector(controller: &ReplicationController) -> OwnerSelector {
    let (namespace, name) = names(&controller.metadata);
    let labels = controller.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    OwnerSelector {
        kind: "ReplicationController".to_owned(),
        namespace,
        name,
        selector: Selector::from_labels(&labels),
    }
}

pub fn budget_view(budget: &PodDisruptionBudget) -> BudgetView {
    let (namespace, name) = names(&budget.metadata);
    let status = budget.status.as_ref();
    BudgetView {
        namespace,
        name,
        selector: label_selector(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
        disruptions_allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
        disrupted: status
            .and_then(|s| s.disrupted_pods.as_ref())
            .into_iter()
            .flatten()
            .map(|(n, _)| n.clone())
            .collect(),
    }
}

pub fn priority_class_view(class: &PriorityClass) -> PriorityClassView {
    PriorityClassView {
        name: names(&class.metadata).1,
        value: class.value.unwrap_or(0),
        global_default: class.global_default == Some(true),
        never_preempts: class.preemption_policy.as_deref() == Some("Never"),
    }
}

pub fn namespace_view(namespace: &Namespace) -> NamespaceView {
    NamespaceView { name: names(&namespace.metadata).1, labels: namespace.metadata.labels.clone().unwrap_or_default() }
}

pub fn claim_view(claim: &PersistentVolumeClaim) -> ClaimView {
    let (namespace, name) = names(&claim.metadata);
    let spec = claim.spec.clone().unwrap_or_default();
    let annotation = |key: &str| claim.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
    let modes = spec.access_modes.unwrap_or_default();
    ClaimView {
        namespace,
        name,
        uid: claim.metadata.uid.clone().unwrap_or_default(),
        bound: annotation("pv.kubernetes.io/bind-completed").is_some(),
        storage_class: annotation("volume.beta.kubernetes.io/storage-class")
            .or(spec.storage_class_name)
            .unwrap_or_default(),
        selected_node: annotation("volume.kubernetes.io/selected-node").unwrap_or_default(),
        volume: spec.volume_name.unwrap_or_default(),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        lost: claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost"),
        read_write_once_pod: modes.iter().any(|mode| mode == "ReadWriteOncePod"),
        access_modes: modes,
        volume_mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
        bytes: spec
            .resources
            .and_then(|r| r.requests)
            .and_then(|r| r.get("storage").map(|q| amount(q).value()))
            .unwrap_or(0),
        selector: spec.selector.as_ref().map(|selector| label_selector(Some(selector))),
        owner_uid: claim
            .metadata
            .owner_references
            .iter()
            .flatten()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone())
            .unwrap_or_default(),
    }
}

pub fn persistent_volume_view(volume: &PersistentVolume) -> PersistentVolumeView {
    let spec = volume.spec.clone().unwrap_or_default();
    let claim = spec.claim_ref.as_ref();
    PersistentVolumeView {
        name: names(&volume.metadata).1,
        labels: volume.metadata.labels.clone().unwrap_or_default(),
        storage_class: spec.storage_class_name.clone().unwrap_or_default(),
        bytes: spec.capacity.as_ref().and_then(|c| c.get("storage")).map_or(0, |q| amount(q).value()),
        access_modes: spec.access_modes.clone().unwrap_or_default(),
        volume_mode: spec.volume_mode.clone().unwrap_or_else(|| "Filesystem".to_owned()),
        node_affinity: spec
            .node_affinity
            .as_ref()
            .and_then(|affinity| affinity.required.as_ref())
            .map(|required| required.node_selector_terms.iter().map(node_term).collect()),
        claim: claim.map(|c| {
            format!("{}/{}", c.namespace.as_deref().unwrap_or_default(), c.name.as_deref().unwrap_or_default())
        }),
        claim_uid: claim.and_then(|c| c.uid.clone()).unwrap_or_default(),
        available: volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Available"),
        deleting: volume.metadata.deletion_timestamp.is_some(),
        csi_driver: spec.csi.as_ref().map(|csi| csi.driver.clone()).unwrap_or_default(),
        csi_handle: spec.csi.as_ref().map(|csi| csi.volume_handle.clone()).unwrap_or_default(),
    }
}

pub fn storage_class_view(class: &StorageClass) -> StorageClassView {
    StorageClassView {
        name: names(&class.metadata).1,
        provisioner: class.provisioner.clone(),
        binding_mode: match class.volume_binding_mode.as_deref() {
            Some("WaitForFirstConsumer") => VolumeBindingMode::WaitForFirstConsumer,
            _ => VolumeBindingMode::Immediate,
        },
        allowed_topologies: class
            .allowed_topologies
            .iter()
            .flatten()
            .map(|term| NodeTerm {
                labels: term
                    .match_label_expressions
                    .iter()
                    .flatten()
                    .map(|r| Requirement { key: r.key.clone(), operator: Operator::In, values: r.values.clone() })
                    .collect(),
                fields: Vec::new(),
            })
            .collect(),
    }
}

pub fn csi_node_view(node: &CSINode) -> CsiNodeView {
    let drivers = node.spec.drivers.iter();
    CsiNodeView {
        node: names(&node.metadata).1,
        limits: drivers
            .filter_map(|driver| Some((driver.name.clone(), i64::from(driver.allocatable.as_ref()?.count?))))
            .collect(),
    }
}

/// The pod that the daemon set puts on a node, as the cluster autoscaler adds it to a group's template.
pub fn daemon_set_pod(set: &DaemonSet) -> PodView {
    let (namespace, name) = names(&set.metadata);
    let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.namespace = Some(namespace);
    metadata.name = Some(name.clone());
    let mut view = pod_view(&Pod { metadata, spec: template.spec, status: None });
    view.owner = Some(OwnerView {
        api_version: "apps/v1".to_owned(),
        kind: "DaemonSet".to_owned(),
        name,
        uid: set.metadata.uid.clone().unwrap_or_default(),
    });
    view
}
