//! Keeps the router's rules at what the cluster and Azure say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube_server::client::Client;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::rules::{self, NodeNet, PodNet, ServicePort, Subnet, View};
use crate::sandbox::Router;
use crate::{backends, plan, services};

const RESOURCES: &[&str] = &[
    "endpointslices.discovery.k8s.io",
    "namespaces",
    "networkpolicies.networking.k8s.io",
    "nodes",
    "pods",
    "services",
];

/// Reconciles until dropped; the rules stay then.
#[derive(Debug)]
pub struct Fabric {
    problem: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Fabric {
    pub fn start(client: Client, router: Arc<Router>, subnets: watch::Receiver<Vec<Subnet>>) -> Fabric {
        let problem = Arc::default();
        // From here on pods wait until they are known.
        router.rules_know(BTreeSet::new());
        let task = tokio::spawn(run(client, router, subnets, Arc::clone(&problem)));
        Fabric { problem, task }
    }

    /// Why the rules are not what they should be.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: Client,
    router: Arc<Router>,
    mut subnets: watch::Receiver<Vec<Subnet>>,
    problem: Arc<Mutex<Option<String>>>,
) {
    let mut changes = client.subscribe();
    let mut applied = String::new();
    loop {
        let view = view(&client, subnets.borrow_and_update().clone());
        let wanted = rules::compile(&view);
        if wanted != applied {
            let (router, text) = (Arc::clone(&router), wanted.clone());
            let outcome = tokio::task::spawn_blocking(move || router.apply_rules(&text)).await;
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("the network's rules are not current: {error}")),
                Err(error) => Some(format!("the network's rules are not current: {error}")),
            };
            match &failure {
                None => applied = wanted,
                Some(text) => tracing::error!("{text}"),
            }
            *problem.lock() = failure;
        }
        if problem.lock().is_none() {
            router.rules_know(view.pods.iter().filter_map(|pod| pod.address).collect());
        }
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) if RESOURCES.contains(&&*change.resource) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                },
                changed = subnets.changed() => match changed {
                    Ok(()) => break,
                    // Azure's side is gone, and with it the cloud.
                    Err(_) => return,
                },
            }
        }
        // Everything that is already queued is covered by the look that follows.
        changes = changes.resubscribe();
    }
}

fn view(client: &Client, subnets: Vec<Subnet>) -> View {
    let slices = services::by_service(client.list::<EndpointSlice>(None));
    let known = client.list::<Service>(None);
    View {
        nodes: client.list::<Node>(None).iter().filter_map(|node| node_net(node)).collect(),
        pods: client.list::<Pod>(None).iter().filter_map(|pod| pod_net(pod)).collect(),
        namespaces: client
            .list::<Namespace>(None)
            .iter()
            .map(|namespace| {
                let metadata = &namespace.metadata;
                (metadata.name.clone().unwrap_or_default(), metadata.labels.clone().unwrap_or_default())
            })
            .collect(),
        services: known.iter().flat_map(|service| service_ports(service, &slices)).collect(),
        policies: client.list::<NetworkPolicy>(None).iter().map(|policy| NetworkPolicy::clone(policy)).collect(),
        subnets,
    }
}

fn node_net(node: &Node) -> Option<NodeNet> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some(NodeNet {
        name: node.metadata.name.clone()?,
        address: internal.address.parse().ok()?,
        pods: node.spec.as_ref()?.pod_cidr.as_deref()?.parse().ok()?,
    })
}

/// None without an address, and for pods that have ended: theirs may be another's already.
fn pod_net(pod: &Pod) -> Option<PodNet> {
    let (metadata, spec, status) = (&pod.metadata, pod.spec.as_ref()?, pod.status.as_ref()?);
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let address: Ipv4Addr = status.pod_ip.as_deref()?.parse().ok()?;
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter_map(|port| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((port.name.clone()?, protocol, u16::try_from(port.container_port).ok()?))
    });
    Some(PodNet {
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
        labels: metadata.labels.clone().unwrap_or_default(),
        address: Some(address),
        ports: named.collect(),
    })
}

fn service_ports(service: &Service, slices: &BTreeMap<String, Vec<Arc<EndpointSlice>>>) -> Vec<ServicePort> {
    let (Some(namespace), Some(name), Some(spec)) =
        (&service.metadata.namespace, &service.metadata.name, service.spec.as_ref())
    else {
        return Vec::new();
    };
    let Some(address) = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else {
        return Vec::new();
    };
    // The name server listens on its cluster address itself; CoreDNS's pods only hold their place.
    if address == plan::DNS {
        return Vec::new();
    }
    let own = slices.get(&format!("{namespace}/{name}")).map(Vec::as_slice).unwrap_or_default();
    let by_client = spec.session_affinity.as_deref() == Some("ClientIP");
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
        Some(ServicePort {
            address,
            protocol,
            port: u16::try_from(port.port).ok()?,
            endpoints: backends::addresses(port, own.iter().map(Arc::as_ref)),
            by_client,
        })
    });
    ports.filter(|port| matches!(port.protocol.as_str(), "tcp" | "udp")).collect()
}
