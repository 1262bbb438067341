//! What several rules read of a platform, worked out once.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use platform::{Platform, Pool, Workload};
use serde_json::Value;

use crate::full::Full;
use crate::labels;

pub struct Context<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) services: Vec<(usize, Service)>,
    pub(crate) ingresses: Vec<(usize, Ingress)>,
    pub(crate) policies: Vec<(usize, NetworkPolicy)>,
    /// Namespace → labels, with the one that Kubernetes sets itself.
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    full: OnceCell<Full>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(platform: &'a Platform) -> Context<'a> {
        Context {
            platform,
            services: platform.typed("Service").collect(),
            ingresses: platform.typed("Ingress").collect(),
            policies: platform.typed("NetworkPolicy").collect(),
            namespaces: namespaces(platform),
            full: OnceCell::new(),
        }
    }

    /// The cluster with everything at its maximum.
    pub(crate) fn full(&self) -> &Full {
        self.full.get_or_init(|| Full::new(self.platform))
    }

    /// The pools whose nodes a workload's pods admit by labels and taints.
    pub(crate) fn pools_of(&self, workload: &Workload) -> Vec<&'a Pool> {
        let pools = self.platform.pools.iter();
        pools.filter(|pool| self.platform.admits(pool, workload)).collect()
    }

    /// The workloads behind a Service.
    pub(crate) fn behind(&self, service: &Service) -> impl Iterator<Item = &'a Workload> {
        let namespace = namespace_of(&service.metadata.namespace).to_owned();
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        self.platform.workloads.iter().filter(move |workload| {
            workload.namespace == namespace && labels::selects(&selector, workload.pod_labels())
        })
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&(usize, Service)> {
        self.services.iter().find(|(_, service)| {
            service.metadata.name.as_deref() == Some(name) && namespace_of(&service.metadata.namespace) == namespace
        })
    }

    /// The declared object of a kind, namespace and name.
    pub(crate) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Value> {
        let mut objects = self.platform.of_kind(kind).map(|(_, object)| object);
        objects.find(|object| {
            let metadata = &object["metadata"];
            metadata["name"] == name && metadata["namespace"].as_str().unwrap_or("default") == namespace
        })
    }
}

pub(crate) fn namespace_of(namespace: &Option<String>) -> &str {
    namespace.as_deref().unwrap_or("default")
}

fn namespaces(platform: &Platform) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for object in &platform.objects {
        let metadata = &object["metadata"];
        let Some(name) = metadata["namespace"].as_str() else { continue };
        all.entry(name.to_owned()).or_default();
    }
    for (_, object) in platform.of_kind("Namespace") {
        let Some(name) = object["metadata"]["name"].as_str() else { continue };
        let declared = object["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = declared.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        all.entry(name.to_owned()).or_default().extend(labels);
    }
    // CoreDNS's, which every policy for name resolution names.
    all.entry("kube-system".to_owned()).or_default();
    for (name, labels) in &mut all {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
    }
    all
}

/// Where a workload's pod template is in its object.
pub(crate) const TEMPLATE: &str = "/spec/template";

/// Pods of the operator's Prometheus have no template of their own in the manifest.
pub(crate) fn has_template(platform: &Platform, workload: &Workload) -> bool {
    platform.objects.get(workload.object).is_some_and(|object| object.pointer(TEMPLATE).is_some())
}

/// Containers with the pointer to each; init containers last.
pub(crate) fn containers(workload: &Workload) -> impl Iterator<Item = (String, &Container)> {
    let pod = workload.pod_spec();
    let main = pod.containers.iter().enumerate().map(|(index, container)| (pointer("containers", index), container));
    let init = pod.init_containers.iter().flatten().enumerate();
    main.chain(init.map(|(index, container)| (pointer("initContainers", index), container)))
}

/// Containers that run beside each other: the main ones and the sidecars among the init containers.
pub(crate) fn running(workload: &Workload) -> impl Iterator<Item = (String, &Container)> {
    containers(workload).filter(|(pointer, container)| {
        !pointer.contains("initContainers") || container.restart_policy.as_deref() == Some("Always")
    })
}

fn pointer(list: &str, index: usize) -> String {
    format!("{TEMPLATE}/spec/{list}/{index}")
}
