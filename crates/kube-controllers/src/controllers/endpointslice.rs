//! EndpointSlices: which addresses a service leads to, and in which state each of them is.
//!
//! A pod that is being deleted stays listed, no longer ready but serving and terminating, from the moment of its deletion
//! timestamp, so that proxies stop sending it new connections while it finishes the old ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::{ChangeEvent, Client, DeleteOptions};
use units::Millis;

use super::backends::{self, Port};
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Labels, Meta, change_owner, controlled_by};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// `--max-endpoints-per-slice`
const MOST_PER_SLICE: usize = 100;

pub(crate) struct EndpointSliceController {
    context: Context,
}

impl EndpointSliceController {
    pub(crate) fn new(context: &Context) -> EndpointSliceController {
        EndpointSliceController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        backends::affected(&self.context.client, change, dirty);
        if &*change.resource == "endpointslices.discovery.k8s.io" {
            dirty.extend(change_owner(change, "Service"));
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Service>(None).iter().map(|service| service.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(service) = client.get::<Service>(key.namespace(), &key.name) else { return Ok(None) };
        let Some(selector) = backends::selected(&service) else { return Ok(None) };
        if service.is_deleted() {
            return Ok(None);
        }
        let groups = groups(client, &service, selector);
        let mut existing = client.list::<EndpointSlice>(key.namespace());
        existing.retain(|slice| is_ours(slice, &service));
        let plan = plan(&service, groups, &existing);
        self.write(&service, plan).await?;
        Ok(None)
    }
}

/// The slices to create, to update and to delete.
#[derive(Default)]
struct Plan {
    create: Vec<EndpointSlice>,
    update: Vec<EndpointSlice>,
    delete: Vec<Arc<EndpointSlice>>,
}

fn is_ours(slice: &EndpointSlice, service: &Service) -> bool {
    let labels = slice.labels();
    labels.get(SERVICE_NAME).is_some_and(|name| name == service.name())
        && labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
        && !slice.is_deleted()
}

/// The endpoints by the ports that they have in common: a named port may have another number on each pod.
fn groups(client: &Client, service: &Service, selector: &Labels) -> BTreeMap<Vec<Port>, Vec<Endpoint>> {
    let mut groups: BTreeMap<Vec<Port>, Vec<Endpoint>> = BTreeMap::new();
    for pod in backends::pods_behind(client, service, selector) {
        let endpoint = endpoint(client, service, &pod);
        groups.entry(backends::ports_on(service, &pod)).or_default().push(endpoint);
    }
    groups
}

fn endpoint(client: &Client, service: &Service, pod: &Pod) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pod.is_deleted();
    let ready = backends::publishes_unready(service) || (serving && !terminating);
    let node = pods::node_name(pod).and_then(|name| client.get::<Node>(None, name));
    Endpoint {
        addresses: backends::address(pod).map(ToOwned::to_owned).into_iter().collect(),
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: backends::hostname(service, pod),
        node_name: pods::node_name(pod).map(ToOwned::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone: node.and_then(|node| node.labels().get("topology.kubernetes.io/zone").cloned()),
        ..Endpoint::default()
    }
}

fn slice_ports(ports: &[Port]) -> Vec<EndpointPort> {
    let port = |port: &Port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.number),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    };
    ports.iter().map(port).collect()
}

/// Keeps every endpoint in the slice where it is, fills gaps, and adds slices only for what is left.
fn plan(service: &Service, groups: BTreeMap<Vec<Port>, Vec<Endpoint>>, existing: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut unused: Vec<&Arc<EndpointSlice>> = existing.iter().collect();
    if groups.is_empty() {
        keep_placeholder(service, &mut unused, &mut plan);
    }
    for (ports, endpoints) in groups {
        let ports = slice_ports(&ports);
        let (same, others) = unused.into_iter().partition(|slice| slice.ports.as_deref().unwrap_or_default() == ports);
        unused = others;
        plan_group(service, &ports, endpoints, same, &mut plan);
    }
    plan.delete.extend(unused.into_iter().cloned());
    plan
}

/// A service without endpoints has one empty slice, by which readers know that it was looked at.
fn keep_placeholder(service: &Service, unused: &mut Vec<&Arc<EndpointSlice>>, plan: &mut Plan) {
    let placeholder = build(service, &[], Vec::new());
    match unused.pop() {
        Some(slice) => plan.update.extend(changed(slice, placeholder)),
        None => plan.create.push(placeholder),
    }
}

fn plan_group(
    service: &Service,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
    slices: Vec<&Arc<EndpointSlice>>,
    plan: &mut Plan,
) {
    let uid = |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    let mut left: BTreeMap<_, Endpoint> =
        endpoints.into_iter().map(|endpoint| ((uid(&endpoint), endpoint.addresses.clone()), endpoint)).collect();
    let mut kept: Vec<(&Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let stay = slice
            .endpoints
            .iter()
            .flatten()
            .filter_map(|old| left.remove(&(uid(old), old.addresses.clone())))
            .collect();
        kept.push((slice, stay));
    }
    let mut left = left.into_values();
    for (_, stay) in &mut kept {
        let room = MOST_PER_SLICE.saturating_sub(stay.len());
        stay.extend(left.by_ref().take(room));
    }
    for (slice, stay) in kept {
        if stay.is_empty() {
            plan.delete.push(slice.clone());
        } else {
            plan.update.extend(changed(slice, build(service, ports, stay)));
        }
    }
    let rest: Vec<Endpoint> = left.collect();
    plan.create.extend(rest.chunks(MOST_PER_SLICE).map(|chunk| build(service, ports, chunk.to_vec())));
}

fn build(service: &Service, ports: &[EndpointPort], endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut labels = service.labels().clone();
    if service.spec.as_ref().is_some_and(backends::is_headless) {
        labels.insert(backends::HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    EndpointSlice {
        address_type: "IPv4".to_owned(),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name())),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(service)]),
            ..ObjectMeta::default()
        },
        endpoints: Some(endpoints),
        ports: Some(ports.to_vec()),
    }
}

/// The slice with new contents, if they differ.
fn changed(slice: &EndpointSlice, next: EndpointSlice) -> Option<EndpointSlice> {
    let same = slice.endpoints.as_deref().unwrap_or_default() == next.endpoints.as_deref().unwrap_or_default()
        && slice.ports.as_deref().unwrap_or_default() == next.ports.as_deref().unwrap_or_default()
        && slice.metadata.labels == next.metadata.labels;
    if same {
        return None;
    }
    let metadata = ObjectMeta { labels: next.metadata.labels, ..slice.metadata.clone() };
    Some(EndpointSlice {
        metadata,
        endpoints: next.endpoints,
        ports: next.ports,
        address_type: slice.address_type.clone(),
    })
}

impl EndpointSliceController {
    /// New addresses are published before old slices go, so that a reader never sees fewer than there are.
    async fn write(&self, service: &Service, plan: Plan) -> Result<(), Error> {
        let client = &self.context.client;
        let operation = || format!("write the endpoint slices of service {}", service.key());
        let created = join_all(plan.create.iter().map(|slice| client.create(Some(service.namespace()), slice))).await;
        let updated = join_all(plan.update.iter().map(|slice| client.update(slice))).await;
        for outcome in created {
            outcome.context(operation)?;
        }
        for outcome in updated {
            ignore_gone(outcome).context(operation)?;
        }
        for slice in plan.delete {
            let outcome =
                client.delete::<EndpointSlice>(Some(slice.namespace()), slice.name(), &DeleteOptions::default()).await;
            ignore_gone(outcome).context(operation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: usize, ready: bool) -> Endpoint {
        Endpoint {
            addresses: vec![format!("10.0.0.{name}")],
            conditions: Some(EndpointConditions { ready: Some(ready), serving: Some(ready), terminating: Some(false) }),
            target_ref: Some(ObjectReference { uid: Some(format!("uid-{name}")), ..ObjectReference::default() }),
            ..Endpoint::default()
        }
    }

    fn service() -> Service {
        Service {
            metadata: ObjectMeta {
                name: Some("web".into()),
                namespace: Some("default".into()),
                ..ObjectMeta::default()
            },
            ..Service::default()
        }
    }

    fn port() -> Port {
        Port { name: None, number: 80, protocol: "TCP".into(), app_protocol: None }
    }

    fn stored(endpoints: Vec<Endpoint>) -> Arc<EndpointSlice> {
        Arc::new(build(&service(), &slice_ports(&[port()]), endpoints))
    }

    /// (created, updated, deleted) slices.
    fn check(wanted: Vec<Endpoint>, existing: &[Arc<EndpointSlice>], expected: (usize, usize, usize)) -> Plan {
        let groups = if wanted.is_empty() { BTreeMap::new() } else { BTreeMap::from([(vec![port()], wanted)]) };
        let plan = plan(&service(), groups, existing);
        assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), expected);
        plan
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        check(vec![endpoint(1, true)], &[stored(vec![endpoint(1, true)])], (0, 0, 0));
        let empty = Arc::new(build(&service(), &[], Vec::new()));
        check(vec![], &[empty], (0, 0, 0));
    }

    #[test]
    fn a_service_without_pods_keeps_one_empty_slice() {
        check(vec![], &[], (1, 0, 0));
        let plan = check(vec![], &[stored(vec![endpoint(1, true)])], (0, 1, 0));
        assert_eq!(plan.update[0].endpoints.as_deref(), Some(&[][..]));
    }

    #[test]
    fn the_placeholder_makes_room_for_real_endpoints() {
        let empty = Arc::new(build(&service(), &[], Vec::new()));
        check(vec![endpoint(1, true)], &[empty], (1, 0, 1));
    }

    #[test]
    fn a_hundred_and_one_endpoints_need_two_slices() {
        let plan = check((0..101).map(|n| endpoint(n, true)).collect(), &[], (2, 0, 0));
        assert_eq!(plan.create[0].endpoints.as_ref().map(Vec::len), Some(100));
    }

    #[test]
    fn a_changed_condition_updates_in_place() {
        let plan = check(
            vec![endpoint(1, false), endpoint(2, true)],
            &[stored(vec![endpoint(2, true), endpoint(1, true)])],
            (0, 1, 0),
        );
        let names: Vec<_> = plan.update[0].endpoints.iter().flatten().map(|one| one.addresses[0].clone()).collect();
        assert_eq!(names, ["10.0.0.2", "10.0.0.1"]);
    }
}
