//! What ARM asks for, done: clusters and databases of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use arm_engine::effect::{Effect, Outcome, PoolView};
use arm_server::EngineHandle;
use arm_server::effects::Effects;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::azure_network::Name;
use crate::cluster::{Cluster, ClusterError, Surroundings};
use crate::databases::{Databases, Server, failed};
use crate::folder::{Folder, remove_all, write_private};
use crate::identity::Identity;
use crate::pools::PoolCounts;

/// Passes machine counts on to ARM, which is started after what it drives.
#[derive(Default)]
pub struct LateEngine {
    engine: OnceLock<EngineHandle>,
}

impl LateEngine {
    pub fn set(&self, engine: EngineHandle) {
        // There is one ARM in a cloud's life.
        let _ = self.engine.set(engine);
    }

    pub(crate) fn get(&self) -> Option<&EngineHandle> {
        self.engine.get()
    }
}

#[async_trait]
impl PoolCounts for LateEngine {
    async fn set(&self, pool_id: &str, count: u32) {
        let Some(engine) = self.engine.get() else { return };
        match engine.set_pool_count(pool_id, count).await {
            Ok(Ok(_)) => {}
            // The pool was deleted meanwhile; its machines go with it.
            Ok(Err(fault)) => tracing::debug!(?fault, pool_id, "ARM does not know the pool"),
            Err(error) => tracing::error!(%error, pool_id, "ARM cannot record a pool's size"),
        }
    }
}

pub struct World {
    folder: Folder,
    around: Surroundings,
    pub(crate) databases: Arc<Databases>,
    /// By resource id in lower case. One lock for all: effects on different clusters are rare, and starting one takes milliseconds.
    pub(crate) clusters: Mutex<BTreeMap<String, Cluster>>,
    identity: Arc<Mutex<Identity>>,
    pub(crate) engine: Arc<LateEngine>,
    /// Subnets that a fault cuts off.
    pub(crate) cut: watch::Sender<BTreeSet<Name>>,
    pub(crate) disk_is_full: AtomicBool,
    /// Grows whenever the addresses that clients are told may have changed.
    changed: watch::Sender<u64>,
}

impl World {
    pub fn new(
        folder: Folder,
        around: Surroundings,
        databases: Arc<Databases>,
        identity: Arc<Mutex<Identity>>,
        engine: Arc<LateEngine>,
    ) -> World {
        World {
            folder,
            around,
            databases,
            clusters: Mutex::default(),
            identity,
            engine,
            cut: watch::Sender::default(),
            disk_is_full: AtomicBool::default(),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn is_sandboxed(&self) -> bool {
        self.around.ground.router().is_some()
    }

    /// Resolves after each change of what [`World::status`] says.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn ensure_cluster(&self, id: &str, body: &Value, pools: &[PoolView]) -> Result<Outcome, ClusterError> {
        let key = id.to_ascii_lowercase();
        let mut clusters = self.clusters.lock().await;
        if !clusters.contains_key(&key) {
            let folder = self.folder.cluster(key.rsplit('/').next().unwrap_or(&key));
            let port = self.identity.lock().await.ports.clusters.get(&key).copied().unwrap_or(0);
            let cluster = Cluster::start(id, &folder, port, body, &self.around).await?;
            self.remember_port(&key, cluster.address().port()).await;
            self.watch_services(&cluster);
            clusters.insert(key.clone(), cluster);
        }
        let Some(cluster) = clusters.get(&key) else { unreachable!("the cluster was just made") };
        cluster.apply(body, pools).await?;
        write_private(&self.folder.kubeconfig(), cluster.admin_kubeconfig.as_bytes())?;
        self.changed.send_modify(|count| *count += 1);
        Ok(Outcome::Cluster {
            fqdn: cluster.address().to_string(),
            admin_kubeconfig: cluster.admin_kubeconfig.clone(),
            user_kubeconfig: cluster.user_kubeconfig.clone(),
            oidc_issuer_url: format!("https://{}/", cluster.address()),
        })
    }

    async fn remember_port(&self, key: &str, port: u16) {
        let mut identity = self.identity.lock().await;
        identity.ports.clusters.insert(key.to_owned(), port);
        if let Err(error) = identity.save(&self.folder) {
            tracing::warn!(%error, "the cluster's port is not remembered; its kubeconfig changes at the next start");
        }
    }

    /// Load balancers get their sockets after the cluster is there.
    fn watch_services(&self, cluster: &Cluster) {
        let mut frontends = cluster.frontend_changes();
        let changed = self.changed.clone();
        tokio::spawn(async move {
            while frontends.changed().await.is_ok() {
                changed.send_modify(|count| *count += 1);
            }
        });
    }

    /// Machines, pods and control plane end; what the cluster holds stays, for when it is started again.
    async fn stop_cluster(&self, id: &str) -> Outcome {
        let removed = self.clusters.lock().await.remove(&id.to_ascii_lowercase());
        if let Some(cluster) = removed {
            cluster.stop().await;
        }
        self.changed.send_modify(|count| *count += 1);
        Outcome::Stopped
    }

    async fn delete_cluster(&self, id: &str) -> Outcome {
        let key = id.to_ascii_lowercase();
        let removed = self.clusters.lock().await.remove(&key);
        if let Some(cluster) = removed {
            cluster.stop().await;
        }
        self.changed.send_modify(|count| *count += 1);
        match remove_all(&self.folder.cluster(key.rsplit('/').next().unwrap_or(&key))) {
            Ok(()) => {
                // Without a cluster there is nothing that the file could lead to.
                let _ = std::fs::remove_file(self.folder.kubeconfig());
                Outcome::Deleted
            }
            Err(error) => failed("ClusterDeletionFailed", &error),
        }
    }

    /// `http://127.0.0.1:8080` once the ingress' load balancer listens.
    pub async fn console_url(&self) -> Option<String> {
        let clusters = self.clusters.lock().await;
        let frontends = clusters.values().flat_map(Cluster::frontends);
        let http = frontends.into_iter().find(|frontend| frontend.service_port == 80);
        http.map(|frontend| format!("http://{}", frontend.address))
    }

    pub async fn status(&self) -> Value {
        let clusters = self.clusters.lock().await;
        let described: Vec<Value> = clusters
            .values()
            .map(|cluster| {
                let frontends = cluster.frontends().into_iter().map(|frontend| {
                    json!({"service": frontend.service, "port": frontend.service_port, "address": frontend.address.to_string()})
                });
                json!({
                    "id": cluster.id(),
                    "name": cluster.name,
                    "api": format!("https://{}", cluster.address()),
                    "frontends": frontends.collect::<Vec<_>>(),
                    "problems": cluster.problems(),
                })
            })
            .collect();
        json!({"clusters": described, "databases": self.databases.known(), "unenforced": kubelet::unenforced(self.around.ground.router().is_some(), &self.around.ground.limits), "isolationReason": self.around.ground.reason})
    }

    /// Stops every cluster and database; their data stays.
    pub async fn stop(&self) {
        let clusters = std::mem::take(&mut *self.clusters.lock().await);
        futures::future::join_all(clusters.into_values().map(Cluster::stop)).await;
        self.databases.stop().await;
    }
}

#[async_trait]
impl Effects for World {
    async fn run(&self, effect: Effect) -> Outcome {
        match effect {
            Effect::EnsureCluster { cluster_id, body, pools } => {
                match self.ensure_cluster(&cluster_id, &body, &pools).await {
                    Ok(outcome) => outcome,
                    Err(error) => failed("ClusterProvisioningFailed", &error),
                }
            }
            Effect::StopCluster { cluster_id } => self.stop_cluster(&cluster_id).await,
            Effect::StopPostgres { server_id } => self.databases.stop_one(&server_id).await,
            Effect::DeleteCluster { cluster_id } => self.delete_cluster(&cluster_id).await,
            Effect::EnsurePostgres { server_id, body, administrator_password, configurations, databases } => {
                let server = Server {
                    id: &server_id,
                    body: &body,
                    administrator_password: &administrator_password,
                    configurations: &configurations,
                    databases: &databases,
                };
                self.databases.ensure(server).await
            }
            Effect::DeletePostgres { server_id } => self.databases.delete(&server_id).await,
        }
    }
}
