//! Endpoints, the predecessor of EndpointSlices, for clients that still read them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::{ChangeEvent, DeleteOptions};
use units::Millis;

use super::backends::{self, Port};
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Labels, Meta, change_key};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub(crate) struct EndpointsController {
    context: Context,
}

impl EndpointsController {
    pub(crate) fn new(context: &Context) -> EndpointsController {
        EndpointsController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        backends::affected(&self.context.client, change, dirty);
        if &*change.resource == "endpoints" {
            dirty.push(change_key(change));
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Service>(None).iter().map(|service| service.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let current = client.get::<Endpoints>(key.namespace(), &key.name);
        let operation = || format!("write the endpoints of service {key}");
        let Some(service) = client.get::<Service>(key.namespace(), &key.name) else {
            // Without an owner reference, only the label says that nobody else wrote them.
            if current.is_some_and(|current| current.labels().get(MANAGED_BY).is_some_and(|manager| manager == MANAGER))
            {
                let outcome = client.delete::<Endpoints>(key.namespace(), &key.name, &DeleteOptions::default()).await;
                ignore_gone(outcome).context(operation)?;
            }
            return Ok(None);
        };
        let Some(selector) = backends::selected(&service) else { return Ok(None) };
        if service.is_deleted() {
            return Ok(None);
        }
        let pods = backends::pods_behind(client, &service, selector);
        let wanted = build(&service, pods.iter().map(|pod| &**pod));
        match current {
            None => {
                client.create(key.namespace(), &wanted).await.context(operation)?;
            }
            Some(current) if differs(&current, &wanted) => {
                let metadata = ObjectMeta { labels: wanted.metadata.labels, ..current.metadata.clone() };
                let updated = Endpoints { metadata, subsets: wanted.subsets };
                ignore_gone(client.update(&updated).await).context(operation)?;
            }
            Some(_) => {}
        }
        Ok(None)
    }
}

fn differs(current: &Endpoints, wanted: &Endpoints) -> bool {
    let subsets = |endpoints: &Endpoints| endpoints.subsets.clone().unwrap_or_default();
    subsets(current) != subsets(wanted) || current.metadata.labels != wanted.metadata.labels
}

/// Ready and not ready addresses by common ports. Terminating pods are in neither list, as upstream has it.
fn build<'a>(service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Endpoints {
    let mut subsets: BTreeMap<Vec<Port>, EndpointSubset> = BTreeMap::new();
    for pod in pods.filter(|pod| !pod.is_deleted()) {
        let ports = backends::ports_on(service, pod);
        let subset = subsets.entry(ports.clone()).or_insert_with(|| EndpointSubset {
            ports: (!ports.is_empty()).then(|| ports.iter().map(port).collect()),
            ..EndpointSubset::default()
        });
        let ready = pods::is_ready(pod) || backends::publishes_unready(service);
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address(service, pod));
    }
    let mut subsets: Vec<EndpointSubset> = subsets.into_values().collect();
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.sort_by(|a, b| a.ip.cmp(&b.ip));
        }
    }
    let metadata = ObjectMeta {
        name: service.metadata.name.clone(),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels(service)),
        ..ObjectMeta::default()
    };
    Endpoints { metadata, subsets: (!subsets.is_empty()).then_some(subsets) }
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.labels().clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().is_some_and(backends::is_headless) {
        labels.insert(backends::HEADLESS.to_owned(), String::new());
    }
    labels
}

fn port(port: &Port) -> EndpointPort {
    EndpointPort {
        name: port.name.clone(),
        port: port.number,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn address(service: &Service, pod: &Pod) -> EndpointAddress {
    EndpointAddress {
        ip: backends::address(pod).unwrap_or_default().to_owned(),
        hostname: backends::hostname(service, pod),
        node_name: pods::node_name(pod).map(ToOwned::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    }
}
