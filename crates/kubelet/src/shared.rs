//! What the pods' tasks, the node agent and the sampler share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube_server::Client;
use network::allocate::Subnet24;
use parking_lot::Mutex;
use units::{Millicores, Timestamp};

use crate::config::Config;
use crate::faults::NodeFault;
use crate::pod::container::{ContainerState, Run};
use crate::process::Process;

pub(crate) struct Shared {
    pub client: Client,
    pub config: Config,
    nodes: Mutex<BTreeMap<String, NodeAddresses>>,
    pods: Mutex<BTreeMap<(String, String), PodView>>,
    /// Image → why its pods only hold their place.
    left_out: Mutex<BTreeMap<String, String>>,
    node_faults: Mutex<BTreeMap<String, NodeFault>>,
    /// Images are pulled one after the other.
    pub pull_turn: Arc<tokio::sync::Mutex<()>>,
}

struct NodeAddresses {
    own: Ipv4Addr,
    pods: Subnet24,
}

/// A pod as the node agent and the sampler see it.
#[derive(Clone, Debug)]
pub(crate) struct PodView {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    pub ip: Option<Ipv4Addr>,
    pub containers: Vec<ContainerView>,
}

#[derive(Clone, Debug)]
pub(crate) struct ContainerView {
    pub name: String,
    pub image: String,
    pub process: Option<Process>,
    pub running: bool,
    pub started: Timestamp,
    pub restarts: i32,
    pub cpu_limit: Option<Millicores>,
}

impl Shared {
    pub(crate) fn new(client: Client, config: Config) -> Shared {
        Shared {
            client,
            config,
            nodes: Mutex::default(),
            pods: Mutex::default(),
            left_out: Mutex::default(),
            node_faults: Mutex::default(),
            pull_turn: Arc::default(),
        }
    }

    /// `pods` is the node's /24.
    pub(crate) fn add_node(&self, name: &str, own: Ipv4Addr, pods: Ipv4Addr) {
        // The network address itself stays unused, and .1 is where Azure's CNI has the gateway.
        let addresses = NodeAddresses { own, pods: Subnet24::new(pods, 2) };
        self.nodes.lock().entry(name.to_owned()).or_insert(addresses);
    }

    pub(crate) fn remove_node(&self, name: &str) {
        self.nodes.lock().remove(name);
        self.node_faults.lock().remove(name);
    }

    pub(crate) fn node_fault(&self, name: &str) -> Option<NodeFault> {
        self.node_faults.lock().get(name).copied()
    }

    /// Returns what was wrong with the node before.
    pub(crate) fn set_node_fault(&self, name: &str, fault: Option<NodeFault>) -> Option<NodeFault> {
        let mut faults = self.node_faults.lock();
        match fault {
            Some(fault) => faults.insert(name.to_owned(), fault),
            None => faults.remove(name),
        }
    }

    pub(crate) fn has_node(&self, name: &str) -> bool {
        self.nodes.lock().contains_key(name)
    }

    pub(crate) fn node_names(&self) -> Vec<String> {
        self.nodes.lock().keys().cloned().collect()
    }

    pub(crate) fn node_ip(&self, name: &str) -> String {
        self.nodes.lock().get(name).map(|node| node.own.to_string()).unwrap_or_default()
    }

    /// An address that no pod has and, on a host that others use too, nobody listens on.
    pub(crate) fn allocate_pod_ip(&self, node: &str) -> Option<Ipv4Addr> {
        let listeners = self.config.addressing.listeners();
        self.nodes.lock().get_mut(node)?.pods.allocate(&listeners)
    }

    pub(crate) fn occupy_pod_ip(&self, node: &str, ip: Ipv4Addr) -> bool {
        self.nodes.lock().get_mut(node).is_some_and(|node| node.pods.occupy(ip))
    }

    pub(crate) fn release_pod_ip(&self, node: &str, ip: Ipv4Addr) {
        if let Some(node) = self.nodes.lock().get_mut(node) {
            node.pods.release(ip);
        }
    }

    /// Makes the pod's present state visible to the node agent and the sampler.
    pub(crate) fn publish(&self, namespace: &str, name: &str, uid: &str, pod: &Pod, containers: &[ContainerState]) {
        let status_ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
        let view = PodView {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            ip: status_ip,
            containers: containers.iter().map(view_of).collect(),
        };
        self.pods.lock().insert((namespace.to_owned(), name.to_owned()), view);
    }

    /// Removes the pod, unless a new one of the same name has taken its place.
    pub(crate) fn forget(&self, namespace: &str, name: &str, uid: &str) {
        let mut pods = self.pods.lock();
        let key = (namespace.to_owned(), name.to_owned());
        if pods.get(&key).is_some_and(|view| view.uid == uid) {
            pods.remove(&key);
        }
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<PodView> {
        self.pods.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn pods(&self) -> Vec<PodView> {
        self.pods.lock().values().cloned().collect()
    }

    pub(crate) fn leave_out(&self, container: &Container, why: &str) {
        self.left_out.lock().insert(container.image.clone().unwrap_or_default(), why.to_owned());
    }

    pub(crate) fn left_out(&self) -> Vec<(String, String)> {
        self.left_out.lock().iter().map(|(image, why)| (image.clone(), why.clone())).collect()
    }
}

fn view_of(state: &ContainerState) -> ContainerView {
    let limits = state.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let cpu_limit = limits.and_then(|limits| limits.get("cpu")).and_then(|cpu| cpu.0.parse::<units::Quantity>().ok());
    let (process, running, started) = match &state.run {
        Run::Running { process, started } => (process.clone(), true, *started),
        Run::Waiting { .. } | Run::Terminated(_) => (None, false, Timestamp::default()),
    };
    ContainerView {
        name: state.spec.name.clone(),
        image: state.spec.image.clone().unwrap_or_default(),
        process,
        running,
        started,
        restarts: state.restarts,
        cpu_limit: cpu_limit.map(units::Quantity::millicores),
    }
}
