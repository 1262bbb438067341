//! What EndpointSlices and Endpoints share: which pods stand behind a service, at which ports.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_server::{ChangeEvent, Client};

use crate::objects::{Labels, Meta, change_key};
use crate::pods;
use crate::queue::Key;
use crate::selector;

pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// A resolved port of a service on one pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub name: Option<String>,
    pub number: i32,
    pub protocol: String,
    pub app_protocol: Option<String>,
}

/// Every service of the namespace in which a pod changed: the change does not say which labels the pod had before.
pub(super) fn affected(client: &Client, change: &ChangeEvent, dirty: &mut Vec<Key>) {
    match &*change.resource {
        "services" => dirty.push(change_key(change)),
        "pods" => {
            let services = client.list::<Service>(change.namespace.as_deref());
            dirty.extend(services.iter().filter(|service| selected(service).is_some()).map(|service| service.key()));
        }
        _ => {}
    }
}

/// The selector of a service whose endpoints follow pods.
pub(super) fn selected(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

/// The pods behind a service that have an address: terminating ones too, finished ones not.
pub(super) fn pods_behind(client: &Client, service: &Service, wanted: &Labels) -> Vec<Arc<Pod>> {
    let mut found = client.list::<Pod>(Some(service.namespace()));
    found.retain(|pod| selector::includes(pod.labels(), wanted) && !pods::is_finished(pod) && address(pod).is_some());
    found
}

pub(super) fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|address| !address.is_empty())
}

pub(super) fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

pub(super) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// The name under which a headless service publishes a pod.
pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let published = spec.subdomain.as_deref() == Some(service.name());
    spec.hostname.clone().filter(|name| published && !name.is_empty())
}

/// The service's ports on one pod; a named port that the pod does not have is left out.
pub(super) fn ports_on(service: &Service, pod: &Pod) -> Vec<Port> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.filter_map(|port| Some(resolved(port, number(port, pod)?))).collect()
}

fn resolved(port: &ServicePort, number: i32) -> Port {
    Port {
        name: port.name.clone(),
        number,
        protocol: protocol(port.protocol.as_deref()).to_owned(),
        app_protocol: port.app_protocol.clone(),
    }
}

fn protocol(text: Option<&str>) -> &str {
    text.unwrap_or("TCP")
}

fn number(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars =
                spec.init_containers.iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
            let declared =
                spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
            declared
                .filter(|declared| protocol(declared.protocol.as_deref()) == protocol(port.protocol.as_deref()))
                .find(|declared| declared.name.as_deref() == Some(name))
                .map(|declared| declared.container_port)
        }
    }
}
