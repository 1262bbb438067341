//! An API server in memory, a kubelet, and a way to wait for what they do.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use kube_server::node_agent::{ContainerRef, LogOptions};
use kube_server::{Client, Server, ServerConfig};
use kubelet::images::Catalogue;
use kubelet::node::Pool;
use kubelet::process::Shim;
use kubelet::{Boot, Cgroups, Config, Kubelet, TokenRequest, TokenSource};
use network::addressing::Addressing;
use network::dial::Dialer;
use network::listeners::Listeners;
use network::names::Names;
use network::sandbox::Router;
use network::slot::SlotLease;
use oci::{Limit, Store};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

const DEADLINE: Duration = Duration::from_secs(60);

/// `shell` runs its arguments as a script, `nothing` holds its place.
const CATALOGUE: &str = "images:\n  - {image: shell, command: [sh, -c]}\n  - {image: nothing, pause: true}\n";

struct FixedToken;

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, request: &TokenRequest) -> Result<String, String> {
        Ok(format!("token-of-{}", request.service_account))
    }
}

pub struct Cluster {
    server: Server,
    kubelet: Option<Kubelet>,
    config: Config,
    /// Held for as long as the pods run.
    _slot: Option<SlotLease>,
    _directory: tempfile::TempDir,
}

impl Cluster {
    /// Pods are containers where there is a sandbox, and plain processes otherwise. `entries` come to the catalogue's own.
    pub async fn start(sandbox: Option<Arc<Router>>, entries: &str) -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(server_config()).await.unwrap();
        let slots = directory.path().join("slots");
        let (slot, addressing, dialer) = match sandbox {
            Some(router) => (None, Addressing::Virtual, Dialer::Inside { router, from: None }),
            None => {
                let slot = SlotLease::acquire_in(&slots, directory.path(), None, &Listeners::default()).unwrap();
                let addressing = slot.addressing();
                (Some(slot), addressing, Dialer::Host)
            }
        };
        let catalogue = directory.path().join("images.yaml");
        std::fs::write(&catalogue, format!("{CATALOGUE}{entries}")).unwrap();
        let mount = match &dialer {
            Dialer::Inside { router, .. } => router.cgroups(),
            Dialer::Host => PathBuf::from("/sys/fs/cgroup"),
        };
        let name = directory.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let cgroups = Cgroups::find(&mount, &format!("marea-test-{name}")).ok();
        let images = dialer.router().map(|_| Store::open(&directory.path().join("images"), Limit::default()).unwrap());
        let config = Config {
            images: images.map(Arc::new),
            data_dir: directory.path().join("kubelet"),
            bin_dir: PathBuf::from("/usr/bin"),
            repo_root: PathBuf::from("/"),
            catalogue: Arc::new(Catalogue::load(&catalogue, &directory.path().join("none.yaml")).unwrap()),
            shim: Shim::new([env!("CARGO_BIN_EXE_marea-shim").into()]),
            names: Names::default(),
            addressing,
            dialer,
            api_server: server.address(),
            ca_pem: String::new(),
            tokens: Arc::new(FixedToken),
            vcpu_scale: 1.0,
            boot: Boot::Fixed(Duration::ZERO),
            cgroups,
        };
        let kubelet = Kubelet::start(server.client(), config.clone()).await.unwrap();
        server.set_node_agent(kubelet.node_agent());
        Cluster { server, kubelet: Some(kubelet), config, _slot: slot, _directory: directory }
    }

    pub fn client(&self) -> Client {
        self.server.client()
    }

    pub fn kubelet(&self) -> &Kubelet {
        self.kubelet.as_ref().unwrap()
    }

    pub async fn restart_kubelet(&mut self) {
        drop(self.kubelet.take());
        self.kubelet = Some(Kubelet::start(self.server.client(), self.config.clone()).await.unwrap());
    }

    pub async fn stop(mut self) {
        self.kubelet.take().unwrap().stop_containers().await;
    }

    /// Returns the nodes' names once they are ready.
    pub async fn add_nodes(&self, count: u32) -> Vec<String> {
        let pool = Pool {
            name: "backend".into(),
            vm_size: "Standard_B2s".into(),
            mode: "User".into(),
            max_pods: 30,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            subnet: Ipv4Addr::new(10, 224, 2, 0),
            node_image_version: "AKSUbuntu-2404gen2containerd-202607.17.0".into(),
            cluster_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
                .into(),
            node_resource_group: "MC_g_c_eastus".into(),
            location: "eastus".into(),
            kubelet_version: "v1.36.3".into(),
        };
        self.kubelet().machines().set_pool(pool, count).await.unwrap();
        let names = || -> Vec<String> {
            self.kubelet()
                .machines()
                .pool("backend")
                .unwrap()
                .machines
                .into_iter()
                .map(|machine| machine.node)
                .collect()
        };
        let ready = |name: &String| {
            let node = self.client().get::<Node>(None, name);
            let conditions = node.and_then(|node| node.status.as_ref()?.conditions.clone()).unwrap_or_default();
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        self.wait_until("the nodes are ready", || names().iter().all(ready)).await;
        names()
    }

    /// A pod `web` on the first node.
    pub async fn create_pod(&self, mut spec: Value) {
        let node = &self.kubelet().machines().pool("backend").unwrap().machines[0].node;
        spec["nodeName"] = json!(node);
        let pod = json!({"metadata": {"name": "web"}, "spec": spec});
        self.client().create_raw("pods", Some("default"), pod).await.unwrap();
    }

    pub async fn wait_for(&self, pod: &str, done: impl Fn(&Value) -> bool) -> Value {
        let current = || self.client().get_raw("pods", Some("default"), pod);
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(found) = current().filter(|pod| done(pod)) {
                return (*found).clone();
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "pod {pod} did not get there: {:#?}",
                current().map(|pod| pod["status"].clone())
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !done() {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn wait_for_log(&self, pod: &str, container: &str, part: &str) -> String {
        let reference = ContainerRef { namespace: "default".into(), pod: pod.into(), container: container.into() };
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let mut text = String::new();
            let mut reader = self.kubelet().node_agent().logs(&reference, &LogOptions::default()).await.unwrap();
            reader.read_to_string(&mut text).await.unwrap();
            if text.contains(part) {
                return text;
            }
            assert!(tokio::time::Instant::now() < deadline, "the log never said {part:?}: {text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn main_pid(&self, pod: &str, container: &str) -> i32 {
        self.try_main_pid(pod, container).unwrap()
    }

    /// From the records on disk, of the newest run.
    pub fn try_main_pid(&self, pod: &str, container: &str) -> Option<i32> {
        let pod = self.client().get_raw("pods", Some("default"), pod)?;
        let uid = pod["metadata"]["uid"].as_str()?;
        let runs = self.config.data_dir.join("pods").join(uid).join("containers").join(container);
        let newest = std::fs::read_dir(&runs).ok()?.flatten().map(|entry| entry.path()).max()?;
        kubelet::process::Process::find(&newest).map(|process| process.started().main.pid)
    }
}

impl Drop for Cluster {
    /// Nothing that a test started may outlive it, not even when it fails.
    fn drop(&mut self) {
        // First what would start them again.
        drop(self.kubelet.take());
        let list = |path: PathBuf| {
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
        };
        for pod in list(self.config.data_dir.join("pods")) {
            for run in list(pod.join("containers")).into_iter().flat_map(list) {
                if let Some(process) = kubelet::process::Process::find(&run) {
                    process.signal(rustix::process::Signal::KILL);
                }
            }
        }
        self.config.cgroups.iter().for_each(Cgroups::remove);
    }
}

fn server_config() -> ServerConfig {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, &key);
    let leaf_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    ServerConfig {
        data_dir: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate_pem: leaf.pem(),
        key_pem: leaf_key.serialize_pem(),
        client_ca_pem: authority_pem,
        service_cidr: "127.16.0.0/16".to_owned(),
        service_account_issuer: "https://kubernetes.default.svc".to_owned(),
        service_account_key_pem: leaf_key.serialize_pem(),
        advertise: None,
        token_file: None,
    }
}
