//! What the engine asks the outside to do, and what it is told back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId(pub u64);

/// A piece of work outside the engine. Effects are idempotent: after a crash the engine hands out again what was not completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Effect {
    /// Make the cluster and its agent pools as the body says; also after every change of either.
    EnsureCluster {
        cluster_id: String,
        body: Value,
        pools: Vec<PoolView>,
    },
    /// Take the cluster's machines and control plane away; its state stays, for the next `EnsureCluster`.
    StopCluster {
        cluster_id: String,
    },
    DeleteCluster {
        cluster_id: String,
    },
    /// `body` is the flexible server's; `configurations` are set parameters; the password never appears in a response.
    EnsurePostgres {
        server_id: String,
        body: Value,
        administrator_password: String,
        configurations: Vec<(String, String)>,
        databases: Vec<DatabaseView>,
    },
    /// The server's data stays, for the next `EnsurePostgres`.
    StopPostgres {
        server_id: String,
    },
    DeletePostgres {
        server_id: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    pub name: String,
    pub vm_size: String,
    /// The wanted number of machines; the autoscaler moves it between the bounds.
    pub count: u32,
    pub min_count: Option<u32>,
    pub max_count: Option<u32>,
    pub autoscaling: bool,
    pub mode: String,
    pub max_pods: u32,
    pub labels: Vec<(String, String)>,
    /// `key=value:Effect`
    pub taints: Vec<String>,
    pub subnet_prefix: Option<String>,
    pub node_image_version: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseView {
    pub name: String,
    pub charset: String,
    pub collation: String,
}

/// What the outside reports when an effect is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Outcome {
    Cluster {
        fqdn: String,
        admin_kubeconfig: String,
        user_kubeconfig: String,
        oidc_issuer_url: String,
    },
    Postgres {
        host_address: String,
        state: String,
    },
    Deleted,
    Stopped,
    /// The operation fails with this ARM error code and message.
    Failed {
        code: String,
        message: String,
    },
}
