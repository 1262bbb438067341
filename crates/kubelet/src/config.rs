//! What the composition root gives the kubelet.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use network::addressing::{Addressing, Range};
use network::dial::Dialer;
use network::names::Names;
use oci::Store;

use crate::cgroup::Cgroups;
use crate::images::Catalogue;
use crate::process::Shim;

/// A service-account token bound to a pod, as the TokenRequest API makes it.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub namespace: String,
    pub service_account: String,
    pub pod_name: String,
    pub pod_uid: String,
    pub node_name: String,
    /// Empty: the API server's own audience.
    pub audience: String,
    pub expiration_seconds: i64,
}

/// Signs tokens. The API server does; it is passed in because signing is not part of the client.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// # Errors
    /// Why there is no token, e.g. because the service account does not exist.
    async fn token(&self, request: &TokenRequest) -> Result<String, String>;
}

#[derive(Clone)]
pub struct Config {
    /// Pods, volumes and logs; private to this kubelet.
    pub data_dir: PathBuf,
    /// Directory of the marea programs.
    pub bin_dir: PathBuf,
    pub repo_root: PathBuf,
    pub catalogue: Arc<Catalogue>,
    /// Where images are kept that are run from their own files; none where that cannot be, outside the sandbox.
    pub images: Option<Arc<Store>>,
    pub shim: Shim,
    pub names: Names,
    pub addressing: Addressing,
    /// From where pods are reached. Inside the sandbox they are containers, on the host plain processes.
    pub dialer: Dialer,
    /// Where the API server listens.
    pub api_server: SocketAddr,
    /// The authority of the API server's certificate.
    pub ca_pem: String,
    pub tokens: Arc<dyn TokenSource>,
    /// Virtual vCPUs for each core of this host; usage is reported in virtual vCPUs.
    pub vcpu_scale: f64,
    /// How long a new machine takes until its node registers.
    pub boot: Boot,
    /// Where limits are enforced; none where this host allows no cgroups.
    pub cgroups: Option<Cgroups>,
}

/// Boot time of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The same for every machine, so that a demonstration need not wait.
    Fixed(Duration),
    /// As measured on AKS for a new node pool: log-normal with a median of 140 s, cut to 117 s to 293 s.
    Realistic,
}

impl Config {
    /// The loopback address that stands for a virtual pod address.
    pub fn pod_address(&self, virtual_address: Ipv4Addr) -> Ipv4Addr {
        self.addressing.host_address(Range::Pod, virtual_address)
    }
}
