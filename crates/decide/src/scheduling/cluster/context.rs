//! The objects around pods and nodes that scheduling looks up.

use std::collections::BTreeMap;

use crate::scheduling::view::{
    BudgetView, ClaimView, CsiNodeView, NamespaceView, OwnerSelector, PersistentVolumeView, PodView, PriorityClassView,
    Selector, ServiceView, StorageClassView,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// By namespace.
    pub(crate) services: BTreeMap<String, Vec<ServiceView>>,
    /// By namespace, kind, name.
    pub(crate) owners: BTreeMap<(String, String, String), Selector>,
    pub(crate) budgets: Vec<BudgetView>,
    pub(crate) priority_classes: BTreeMap<String, PriorityClassView>,
    pub(crate) namespaces: BTreeMap<String, NamespaceView>,
    /// By namespace, name.
    pub(crate) claims: BTreeMap<(String, String), ClaimView>,
    pub(crate) volumes: BTreeMap<String, PersistentVolumeView>,
    pub(crate) storage_classes: BTreeMap<String, StorageClassView>,
    pub(crate) csi_nodes: BTreeMap<String, CsiNodeView>,
}

impl Context {
    pub(crate) fn priority(&self, pod: &PodView) -> i32 {
        self.resolve_priority(pod.priority, &pod.priority_class)
    }

    pub(crate) fn resolve_priority(&self, priority: Option<i32>, class: &str) -> i32 {
        if let Some(priority) = priority {
            return priority;
        }
        if class.is_empty() {
            return self.priority_classes.values().find(|class| class.global_default).map_or(0, |class| class.value);
        }
        match (self.priority_classes.get(class), class) {
            (Some(class), _) => class.value,
            (None, "system-cluster-critical") => 2_000_000_000,
            (None, "system-node-critical") => 2_000_001_000,
            (None, _) => 0,
        }
    }

    pub(crate) fn never_preempts(&self, pod: &PodView) -> bool {
        pod.never_preempts
            || (pod.priority.is_none()
                && self.priority_classes.get(&pod.priority_class).is_some_and(|class| class.never_preempts))
    }

    pub(crate) fn claim(&self, namespace: &str, name: &str) -> Option<&ClaimView> {
        self.claims.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// `DefaultSelector` of pkg/scheduler/framework/plugins/helper/spread.go v1.36.3: the selectors of the services that
    /// match the pod, and that of its owner. Empty where there is none of them.
    pub(crate) fn default_selector(&self, pod: &PodView) -> Selector {
        let mut labels = BTreeMap::new();
        for service in self.services.get(&pod.namespace).into_iter().flatten() {
            if service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value)) {
                labels.extend(service.selector.clone());
            }
        }
        let mut selector = Selector::from_labels(&labels);
        let Some(owner) = &pod.owner else { return selector };
        let known = match owner.kind.as_str() {
            "ReplicationController" => owner.api_version == "v1",
            "ReplicaSet" | "StatefulSet" => owner.api_version == "apps/v1",
            _ => false,
        };
        let key = (pod.namespace.clone(), owner.kind.clone(), owner.name.clone());
        if let (true, Some(Selector::All(requirements))) = (known, self.owners.get(&key)) {
            selector.and(requirements.iter().cloned());
        }
        selector
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($item:ident: $kind:ty) -> $field:ident[$key:expr];)*) => {
        impl super::Cluster {$(
            $(#[$doc])*
            pub fn $name(&mut self, items: impl IntoIterator<Item = $kind>) {
                self.context.$field = items.into_iter().map(|$item| ($key, $item)).collect();
            }
        )*}
    };
}

setters! {
    /// Replaces all priority classes.
    set_priority_classes(class: PriorityClassView) -> priority_classes[class.name.clone()];
    /// Replaces all namespaces.
    set_namespaces(namespace: NamespaceView) -> namespaces[namespace.name.clone()];
    /// Replaces all PersistentVolumeClaims.
    set_claims(claim: ClaimView) -> claims[(claim.namespace.clone(), claim.name.clone())];
    /// Replaces all PersistentVolumes.
    set_volumes(volume: PersistentVolumeView) -> volumes[volume.name.clone()];
    /// Replaces all StorageClasses.
    set_storage_classes(class: StorageClassView) -> storage_classes[class.name.clone()];
    /// Replaces all CSINodes.
    set_csi_nodes(node: CsiNodeView) -> csi_nodes[node.node.clone()];
}

impl super::Cluster {
    /// Replaces all Services.
    pub fn set_services(&mut self, services: impl IntoIterator<Item = ServiceView>) {
        self.context.services.clear();
        for service in services {
            self.context.services.entry(service.namespace.clone()).or_default().push(service);
        }
    }

    /// Replaces the selectors of all ReplicaSets, StatefulSets and ReplicationControllers.
    pub fn set_owners(&mut self, owners: impl IntoIterator<Item = OwnerSelector>) {
        let keyed = owners.into_iter().map(|o| ((o.namespace, o.kind, o.name), o.selector));
        self.context.owners = keyed.collect();
    }

    /// Replaces all PodDisruptionBudgets.
    pub fn set_budgets(&mut self, budgets: impl IntoIterator<Item = BudgetView>) {
        self.context.budgets = budgets.into_iter().collect();
    }
}
