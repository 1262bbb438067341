//! One managed cluster: API server, controllers, kubelet and the proxies of its Services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use decide::nodes::Profile;
use kube_controllers::Controllers;
use kube_server::{ApiError, Client, PodToken, Server, ServerConfig};
use kubelet::images::Catalogue;
use kubelet::process::Shim;
use kubelet::{Boot, Kubelet, TokenRequest, TokenSource};
use network::fabric::Fabric;
use network::names::Names;
use network::plan;
use network::rules::Subnet;
use network::services::{Frontend, Options, ServiceProxies};
use oci::Store;
use serde_json::Value;
use tokio::sync::watch;

use crate::addons;
use crate::certificates::{Authority, CertificateError};
use crate::folder::{FolderError, write_private};
use crate::isolation::Ground;
use crate::kubeconfig;
use crate::pools::{PoolCounts, Pools};

const KUBELET_VERSION: &str = "v1.36.3";
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the Kubernetes API does not start: {0}")]
    Server(ApiError),
    #[error("the kubelet does not start")]
    Kubelet(#[source] std::io::Error),
    #[error(transparent)]
    Machines(#[from] kubelet::node::MachineError),
    #[error("the cluster's autoScalerProfile is not valid: {0}")]
    Profile(String),
    #[error("AKS's add-ons cannot be put into the cluster: {0}")]
    Addons(ApiError),
    #[error("the control plane's address inside the sandbox is taken; one cluster can run in it")]
    ControlPlane(#[source] std::io::Error),
    #[error("cannot make a signing key")]
    SigningKey(#[source] rcgen::Error),
}

/// What every cluster of a cloud shares.
#[derive(Clone)]
pub struct Surroundings {
    pub authority: Arc<Authority>,
    pub ground: Arc<Ground>,
    /// Subnets with security groups, as ARM has them.
    pub subnets: watch::Receiver<Vec<Subnet>>,
    pub names: Names,
    pub catalogue: Arc<Catalogue>,
    pub images: Option<Arc<Store>>,
    pub bin_dir: PathBuf,
    pub repo_root: PathBuf,
    /// The program that carries containers, with the arguments before its verb.
    pub shim: Shim,
    pub vcpu_scale: f64,
    pub boot: Boot,
    /// The port that a load balancer's port 80 gets on this host, if it is free.
    pub http_port: u16,
    pub counts: Arc<dyn PoolCounts>,
}

pub struct Cluster {
    id: String,
    pub name: String,
    server: Server,
    controllers: Controllers,
    kubelet: Kubelet,
    pools: Arc<Pools>,
    proxies: ServiceProxies,
    /// The packet rules, where there is a sandbox.
    fabric: Option<Fabric>,
    pub admin_kubeconfig: String,
    pub user_kubeconfig: String,
}

impl Cluster {
    /// Starts the cluster with what its folder holds; `port` is where its API listened before, 0 for any.
    pub async fn start(
        id: &str,
        folder: &Path,
        port: u16,
        body: &Value,
        around: &Surroundings,
    ) -> Result<Cluster, ClusterError> {
        let name = id.rsplit('/').next().unwrap_or(id).to_owned();
        std::fs::create_dir_all(folder).map_err(FolderError::io("make", folder))?;
        let server = start_server(folder, port, around).await?;
        let client = server.client();
        let pools = Arc::new(Pools::new(id, KUBELET_VERSION, around.counts.clone()));
        let kubelet = Kubelet::start(client.clone(), kubelet_config(folder, &server, around)).await;
        let kubelet = kubelet.map_err(ClusterError::Kubelet)?;
        pools.attach(kubelet.machines().clone());
        server.set_node_agent(kubelet.node_agent());

        let config = kube_controllers::Config {
            autoscaler: profile(body)?,
            root_ca_pem: around.authority.certificate_pem().to_owned(),
            ..kube_controllers::Config::default()
        };
        let controllers = kube_controllers::start(client.clone(), config, pools.clone(), folder.join("journal"));
        server.set_decision_source(controllers.decision_source());
        addons::reconcile(&client).await.map_err(ClusterError::Addons)?;
        let options = Options { load_balancer: LOOPBACK, http_port: around.http_port, dialer: around.ground.public() };
        let fabric = around
            .ground
            .router()
            .map(|router| Fabric::start(client.clone(), Arc::clone(router), around.subnets.clone()));
        let proxies = ServiceProxies::start(client, around.names.clone(), options);
        let url = format!("https://{}", server.address());
        let (admin_kubeconfig, user_kubeconfig) = kubeconfigs(&name, folder, &url, &around.authority)?;
        Ok(Cluster {
            id: id.to_owned(),
            name,
            server,
            controllers,
            kubelet,
            pools,
            proxies,
            fabric,
            admin_kubeconfig,
            user_kubeconfig,
        })
    }

    /// Brings autoscaler and machines to what ARM says.
    pub async fn apply(&self, body: &Value, pools: &[arm_engine::effect::PoolView]) -> Result<(), ClusterError> {
        self.controllers.set_autoscaler_profile(profile(body)?);
        Ok(self.pools.apply(body, pools).await?)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn frontends(&self) -> Vec<Frontend> {
        self.proxies.frontends()
    }

    /// Resolves when [`Cluster::frontends`] has changed.
    pub fn frontend_changes(&self) -> watch::Receiver<Vec<Frontend>> {
        self.proxies.changes()
    }

    pub(crate) fn fill_disk(&self, full: bool) {
        self.server.fill_disk(full);
    }

    pub(crate) fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// What keeps the cluster from being whole, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let left_out =
            self.kubelet.left_out().into_iter().map(|(image, reason)| format!("{image} is left out: {reason}"));
        let rules = self.fabric.as_ref().and_then(Fabric::problem);
        self.proxies.problems().into_iter().chain(rules).chain(left_out).collect()
    }

    /// Stops everything; pods' programs end too. What the cluster holds stays on disk.
    pub async fn stop(self) {
        self.controllers.shutdown();
        drop(self.proxies);
        drop(self.fabric);
        self.kubelet.stop_containers().await;
        drop(self.kubelet);
        self.server.shutdown().await;
    }
}

async fn start_server(folder: &Path, port: u16, around: &Surroundings) -> Result<Server, ClusterError> {
    let (service_base, prefix) = around.ground.addressing.service_range();
    let [a, b, _, _] = service_base.octets();
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ];
    let leaf = around.authority.server(
        &names,
        &[IpAddr::V4(LOOPBACK), IpAddr::V4(Ipv4Addr::new(a, b, 0, 1)), IpAddr::V4(plan::CONTROL_PLANE)],
    )?;
    let inside = SocketAddrV4::new(plan::CONTROL_PLANE, 443);
    let key = signing_key(folder)?;
    let config = |port| ServerConfig {
        data_dir: Some(folder.join("api")),
        listen: SocketAddr::from((LOOPBACK, port)),
        certificate_pem: leaf.certificate_pem.clone(),
        key_pem: leaf.key_pem.clone(),
        client_ca_pem: around.authority.certificate_pem().to_owned(),
        service_cidr: format!("{service_base}/{prefix}"),
        service_account_issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
        service_account_key_pem: key.clone(),
        advertise: around.ground.router().map(|_| inside.into()),
        token_file: None,
    };
    let folder = folder.join("api");
    std::fs::create_dir_all(&folder).map_err(FolderError::io("make", &folder))?;
    let port = if is_free(port) { port } else { 0 };
    let server = Server::start(config(port)).await.map_err(ClusterError::Server)?;
    if let Some(router) = around.ground.router() {
        // Pods come through the cluster's own address of the API, which the rules translate to this one.
        server.listen_also(router.listen(inside).map_err(ClusterError::ControlPlane)?);
    }
    Ok(server)
}

/// The API's own Service has the first address of the range.
fn first_of(range: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(range.to_bits() + 1)
}

/// Somebody else may have taken the port since; then a new one is better than no cluster.
fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind((LOOPBACK, port)).is_ok()
}

/// Tokens that pods hold must stay valid over a restart.
fn signing_key(folder: &Path) -> Result<String, ClusterError> {
    let path = folder.join("service-account.key");
    match std::fs::read_to_string(&path) {
        Ok(pem) => Ok(pem),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pem = rcgen::KeyPair::generate().map_err(ClusterError::SigningKey)?.serialize_pem();
            write_private(&path, pem.as_bytes())?;
            Ok(pem)
        }
        Err(error) => Err(FolderError::io("read", &path)(error).into()),
    }
}

/// Credentials are made once a cluster: a new pair at every change would end nothing and fill the record.
fn kubeconfigs(name: &str, folder: &Path, url: &str, authority: &Authority) -> Result<(String, String), ClusterError> {
    let make = |user: &str, groups: &[&str]| -> Result<String, ClusterError> {
        let path = folder.join(format!("{user}.kubeconfig"));
        if let Ok(text) = std::fs::read_to_string(&path)
            && text.contains(&format!("\"{url}\""))
        {
            return Ok(text);
        }
        let leaf = authority.client(user, groups)?;
        let text = kubeconfig::render(name, url, authority.certificate_pem(), user, &leaf);
        write_private(&path, text.as_bytes())?;
        Ok(text)
    };
    // With local accounts both of AKS's credentials are cluster administrators.
    Ok((make("clusterAdmin", &["system:masters"])?, make("clusterUser", &["system:masters"])?))
}

fn profile(body: &Value) -> Result<Profile, ClusterError> {
    match &body["properties"]["autoScalerProfile"] {
        Value::Null => Ok(Profile::default()),
        settings => serde_json::from_value(settings.clone()).map_err(|error| ClusterError::Profile(error.to_string())),
    }
}

fn kubelet_config(folder: &Path, server: &Server, around: &Surroundings) -> kubelet::Config {
    kubelet::Config {
        data_dir: folder.join("kubelet"),
        bin_dir: around.bin_dir.clone(),
        repo_root: around.repo_root.clone(),
        catalogue: around.catalogue.clone(),
        images: around.images.clone(),
        shim: around.shim.clone(),
        names: around.names.clone(),
        addressing: around.ground.addressing,
        dialer: around.ground.dialer.clone(),
        api_server: match around.ground.router() {
            Some(_) => SocketAddr::from((first_of(around.ground.addressing.service_range().0), 443)),
            None => server.address(),
        },
        ca_pem: around.authority.certificate_pem().to_owned(),
        tokens: Arc::new(Tokens { client: server.client() }),
        vcpu_scale: around.vcpu_scale,
        boot: around.boot,
        cgroups: around.ground.limits.as_ref().ok().cloned(),
    }
}

/// Tokens for pods, as the TokenRequest API would make them.
struct Tokens {
    client: Client,
}

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self, request: &TokenRequest) -> Result<String, String> {
        let wanted = PodToken {
            namespace: &request.namespace,
            account: &request.service_account,
            pod: (&request.pod_name, &request.pod_uid),
            audience: &request.audience,
            expiration_seconds: request.expiration_seconds,
        };
        self.client.pod_token(&wanted).map_err(|error| error.to_string())
    }
}
