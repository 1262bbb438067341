//! The objects that scheduling looks up beside pods and nodes, from the caches.

use decide::nodes::Surroundings;
use decide::scheduling::Cluster;
use decide::scheduling::view::BudgetView;
use decide::wire::context;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use kube_server::{Client, Object};

/// A change of one of these may change where a pod fits.
pub(crate) const RESOURCES: [&str; 11] = [
    "services",
    "replicasets.apps",
    "statefulsets.apps",
    "replicationcontrollers",
    "priorityclasses.scheduling.k8s.io",
    "namespaces",
    "poddisruptionbudgets.policy",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
];

fn views<K: Object, V>(client: &Client, view: impl Fn(&K) -> V) -> impl Iterator<Item = V> {
    client.list::<K>(None).into_iter().map(move |object| view(&object))
}

pub(crate) fn read(client: &Client) -> Surroundings {
    Surroundings {
        services: views::<Service, _>(client, context::service_view).flatten().collect(),
        owners: views::<ReplicaSet, _>(client, context::replica_set_selector)
            .chain(views::<StatefulSet, _>(client, context::stateful_set_selector))
            .chain(views::<ReplicationController, _>(client, context::replication_controller_selector))
            .collect(),
        priority_classes: views::<PriorityClass, _>(client, context::priority_class_view).collect(),
        namespaces: views::<Namespace, _>(client, context::namespace_view).collect(),
        claims: views::<PersistentVolumeClaim, _>(client, context::claim_view).collect(),
        volumes: views::<PersistentVolume, _>(client, context::persistent_volume_view).collect(),
        storage_classes: views::<StorageClass, _>(client, context::storage_class_view).collect(),
        csi_nodes: views::<CSINode, _>(client, context::csi_node_view).collect(),
    }
}

pub(crate) fn budgets(client: &Client) -> Vec<BudgetView> {
    views::<PodDisruptionBudget, _>(client, context::budget_view).collect()
}

pub(crate) fn apply(cluster: &mut Cluster, surroundings: &Surroundings, budgets: &[BudgetView]) {
    let Surroundings { services, owners, priority_classes, namespaces, claims, volumes, storage_classes, csi_nodes } =
        surroundings.clone();
    cluster.set_services(services);
    cluster.set_owners(owners);
    cluster.set_priority_classes(priority_classes);
    cluster.set_namespaces(namespaces);
    cluster.set_claims(claims);
    cluster.set_volumes(volumes);
    cluster.set_storage_classes(storage_classes);
    cluster.set_csi_nodes(csi_nodes);
    cluster.set_budgets(budgets.iter().cloned());
}
