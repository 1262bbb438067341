//! Keeps one proxy per Service port: on the cluster address while there are endpoints, and, for Services of type
//! LoadBalancer, on an address and port of the host.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube_server::client::Client;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backends;
use crate::dial::Dialer;
use crate::names::Names;
use crate::ports;
use crate::proxy::PortProxy;

/// A socket that could not be had is tried again this often; nothing else tells when its holder lets go.
const RETRY: Duration = Duration::from_secs(5);
/// How many ports above the preferred one are tried for a load balancer.
const PORT_ATTEMPTS: u16 = 50;
/// Kubernetes' default for `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_TIMEOUT_SECONDS: i32 = 10_800;

#[derive(Clone, Debug)]
pub struct Options {
    /// Where load balancers listen: the host's loopback address.
    pub load_balancer: Ipv4Addr,
    /// The port to try first for a Service's port 80; the next free one is taken otherwise.
    pub http_port: u16,
    pub dialer: Dialer,
}

/// A load balancer's socket on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name`
    pub service: String,
    pub service_port: u16,
    pub address: SocketAddrV4,
}

/// The proxies of one cluster; dropping it closes every listening socket.
#[derive(Debug)]
pub struct ServiceProxies {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    frontends: watch::Sender<Vec<Frontend>>,
    problems: Mutex<Vec<String>>,
}

impl ServiceProxies {
    pub fn start(client: Client, names: Names, options: Options) -> ServiceProxies {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            client,
            names,
            options,
            shared: Arc::clone(&shared),
            cluster: BTreeMap::new(),
            balancers: BTreeMap::new(),
        };
        ServiceProxies { shared, task: tokio::spawn(worker.run()) }
    }

    pub fn frontends(&self) -> Vec<Frontend> {
        self.shared.frontends.borrow().clone()
    }

    /// Resolves when the load balancers' sockets have changed. After a restart they do so without any change of a Service.
    pub fn changes(&self) -> watch::Receiver<Vec<Frontend>> {
        self.shared.frontends.subscribe()
    }

    /// Sockets that this host does not let us have, one sentence each; for `marea status`.
    pub fn problems(&self) -> Vec<String> {
        self.shared.problems.lock().clone()
    }
}

impl Drop for ServiceProxies {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type BalancerKey = (String, u16);

struct Worker {
    client: Client,
    names: Names,
    options: Options,
    shared: Arc<Shared>,
    cluster: BTreeMap<SocketAddrV4, PortProxy>,
    balancers: BTreeMap<BalancerKey, (SocketAddrV4, PortProxy)>,
}

impl Worker {
    async fn run(mut self) {
        let mut changes = self.client.subscribe();
        loop {
            let complete = self.sync().await;
            loop {
                let change = match complete {
                    true => changes.recv().await,
                    false => match tokio::time::timeout(RETRY, changes.recv()).await {
                        Ok(change) => change,
                        Err(_) => break,
                    },
                };
                match change {
                    Ok(change) if matches!(&*change.resource, "services" | "endpointslices.discovery.k8s.io") => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
            // Everything that is already queued is covered by the sync that follows.
            changes = changes.resubscribe();
        }
    }

    /// True when every wanted socket is there.
    async fn sync(&mut self) -> bool {
        let services = self.client.list::<Service>(None);
        let slices = by_service(self.client.list::<EndpointSlice>(None));
        let mut problems = Vec::new();
        let mut shifted = false;
        let mut wanted_cluster = BTreeSet::new();
        let mut wanted_balancers = BTreeSet::new();
        let mut service_names = BTreeMap::new();

        for service in &services {
            let Some(view) = View::of(service) else { continue };
            let own = slices.get(&view.key).map(Vec::as_slice).unwrap_or_default();
            let cluster_ip = view.cluster_ip();
            let mut first_endpoint = None;
            for port in view.tcp_ports() {
                let found = backends::addresses(port, own.iter().map(Arc::as_ref));
                first_endpoint = first_endpoint.or(found.first().map(|address| *address.ip()));
                let number = u16::try_from(port.port).unwrap_or_default();
                // In the sandbox the router's rules are what serves cluster addresses.
                if let (Some(ip), false, Dialer::Host) = (cluster_ip, found.is_empty(), &self.options.dialer) {
                    let address = SocketAddrV4::new(ip, ports::served(ip, number));
                    shifted |= address.port() != number;
                    wanted_cluster.insert(address);
                    problems.extend(self.serve_cluster_ip(address, &found, view.affinity()).await);
                }
                if view.is_load_balancer() {
                    wanted_balancers.insert((view.key.clone(), number));
                    problems.extend(self.serve_balancer(&view, number, &found).await);
                }
            }
            if let Some(address) = cluster_ip.or(first_endpoint) {
                service_names.insert(format!("{}.{}", view.name, view.namespace), address);
            }
        }
        self.cluster.retain(|address, _| wanted_cluster.contains(address));
        self.balancers.retain(|key, _| wanted_balancers.contains(key));
        self.names.set_services(service_names);
        for service in &services {
            if let Some(view) = View::of(service).filter(View::is_load_balancer) {
                self.report_status(&view).await;
            }
        }
        let frontends: Vec<Frontend> = self
            .balancers
            .iter()
            .map(|((service, port), (address, _))| Frontend {
                service: service.clone(),
                service_port: *port,
                address: *address,
            })
            .collect();
        self.shared.frontends.send_if_modified(|known| {
            let differs = *known != frontends;
            *known = frontends;
            differs
        });
        let complete = problems.is_empty();
        if shifted {
            problems.push(format!(
                "this user may not bind ports below 1024: on cluster addresses Services' port 80 is served at {}, and so on \
                 (sysctl net.ipv4.ip_unprivileged_port_start=80 lifts this)",
                80 + ports::SHIFT
            ));
        }
        *self.shared.problems.lock() = problems;
        complete
    }

    async fn serve_cluster_ip(
        &mut self,
        address: SocketAddrV4,
        found: &[SocketAddrV4],
        affinity: Option<Duration>,
    ) -> Option<String> {
        let proxy = match self.cluster.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match PortProxy::bind(address, self.options.dialer.clone()).await {
                Ok(proxy) => entry.insert(proxy),
                Err(error) => return Some(cannot_listen(address, &error)),
            },
        };
        proxy.pool.set(found, affinity);
        None
    }

    async fn serve_balancer(&mut self, view: &View<'_>, port: u16, found: &[SocketAddrV4]) -> Option<String> {
        let key = (view.key.clone(), port);
        if !self.balancers.contains_key(&key) {
            match self.bind_balancer(view.remembered_port(port), port).await {
                Ok(bound) => self.balancers.insert(key.clone(), bound),
                Err(error) => return Some(format!("Service {} has no load balancer: {error}", view.key)),
            };
        }
        self.balancers[&key].1.pool.set(found, view.affinity());
        None
    }

    /// The port that the Service had before, else the preferred one, else the next that is free.
    async fn bind_balancer(&self, remembered: Option<u16>, port: u16) -> std::io::Result<(SocketAddrV4, PortProxy)> {
        let preferred = match port {
            80 => self.options.http_port,
            // An ordinary user cannot bind ports below 1024; 443 becomes 8443 and so on.
            1..1024 => port + 8000,
            _ => port,
        };
        let mut last_error = None;
        for candidate in remembered.into_iter().chain(preferred..preferred.saturating_add(PORT_ATTEMPTS)) {
            let address = SocketAddrV4::new(self.options.load_balancer, candidate);
            match PortProxy::bind(address, self.options.dialer.clone()).await {
                Ok(proxy) => return Ok((address, proxy)),
                Err(error) => last_error = Some(error),
            }
        }
        let last_port = preferred.saturating_add(PORT_ATTEMPTS - 1);
        let reason = last_error.map_or_else(String::new, |error| format!(": {error}"));
        Err(std::io::Error::other(format!(
            "none of the ports {preferred} to {last_port} of {} is free{reason}",
            self.options.load_balancer
        )))
    }

    /// Says in the object where it can be reached, with the host's port when that differs from the Service's.
    async fn report_status(&self, view: &View<'_>) {
        let ports: Vec<_> = view
            .tcp_ports()
            .filter_map(|port| {
                let number = u16::try_from(port.port).ok()?;
                let (address, _) = self.balancers.get(&(view.key.clone(), number))?;
                Some(json!({"port": address.port(), "protocol": "TCP"}))
            })
            .collect();
        if ports.is_empty() {
            return;
        }
        let wanted = json!([{"ip": self.options.load_balancer.to_string(), "ipMode": "Proxy", "ports": ports}]);
        let current = view
            .service
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref())
            .and_then(|balancer| balancer.ingress.as_ref());
        if serde_json::to_value(current).ok().as_ref() == Some(&wanted) {
            return;
        }
        let patch = json!({"status": {"loadBalancer": {"ingress": wanted}}});
        if let Err(error) = self.client.patch_status::<Service>(Some(view.namespace), view.name, &patch).await {
            tracing::warn!(service = view.key, %error, "cannot write the load balancer's address");
        }
    }
}

/// The parts of a Service that matter here.
struct View<'a> {
    service: &'a Service,
    namespace: &'a str,
    name: &'a str,
    key: String,
}

impl<'a> View<'a> {
    fn of(service: &'a Service) -> Option<View<'a>> {
        let namespace = service.metadata.namespace.as_deref()?;
        let name = service.metadata.name.as_deref()?;
        Some(View { service, namespace, name, key: format!("{namespace}/{name}") })
    }

    fn cluster_ip(&self) -> Option<Ipv4Addr> {
        self.service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
    }

    /// UDP is refused by name resolution being the catalogue's: no program of the platform sends datagrams to a Service.
    fn tcp_ports(&self) -> impl Iterator<Item = &'a ServicePort> {
        let ports = self.service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        ports.into_iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
    }

    fn is_load_balancer(&self) -> bool {
        self.service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
            && self.service.metadata.deletion_timestamp.is_none()
    }

    fn affinity(&self) -> Option<Duration> {
        let spec = self.service.spec.as_ref()?;
        (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
            let configured =
                spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
            Duration::from_secs(u64::try_from(configured.unwrap_or(AFFINITY_TIMEOUT_SECONDS)).unwrap_or_default())
        })
    }

    /// The host port in the status, which is in the order of the Service's ports.
    fn remembered_port(&self, port: u16) -> Option<u16> {
        let index = self.tcp_ports().position(|candidate| candidate.port == i32::from(port))?;
        let ingress = self.service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
        u16::try_from(ingress.ports.as_ref()?.get(index)?.port).ok()
    }
}

pub(crate) fn by_service(slices: Vec<Arc<EndpointSlice>>) -> BTreeMap<String, Vec<Arc<EndpointSlice>>> {
    let mut grouped: BTreeMap<String, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let (Some(namespace), Some(service)) = (slice.metadata.namespace.as_deref(), service) {
            grouped.entry(format!("{namespace}/{service}")).or_default().push(Arc::clone(&slice));
        }
    }
    grouped
}

fn cannot_listen(address: SocketAddrV4, error: &std::io::Error) -> String {
    format!("cluster address {address} is not served: {error}")
}
