//! Agent pools: what ARM wants of them, the machines they have, and what the cluster autoscaler may do with them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use arm_engine::effect::PoolView;
use async_trait::async_trait;
use kube_controllers::{Instance, InstanceState, NodeGroup, NodeGroupError, NodeGroups};
use kubelet::node::{MachineError, Machines, Pool};
use parking_lot::Mutex;
use serde_json::Value;
use units::Timestamp;

/// Tells ARM how many machines a pool has now, as the scale set would.
#[async_trait]
pub trait PoolCounts: Send + Sync + 'static {
    async fn set(&self, pool_id: &str, count: u32);
}

/// The pools of one cluster.
pub struct Pools {
    cluster_id: String,
    kubelet_version: String,
    /// Known once the kubelet runs, which itself needs the API server first.
    machines: OnceLock<Arc<Machines>>,
    counts: Arc<dyn PoolCounts>,
    wanted: Mutex<BTreeMap<String, (PoolView, Pool)>>,
}

impl Pools {
    pub fn new(cluster_id: &str, kubelet_version: &str, counts: Arc<dyn PoolCounts>) -> Pools {
        Pools {
            cluster_id: cluster_id.to_owned(),
            kubelet_version: kubelet_version.to_owned(),
            machines: OnceLock::new(),
            counts,
            wanted: Mutex::new(BTreeMap::new()),
        }
    }

    pub fn attach(&self, machines: Arc<Machines>) {
        // Only the first kubelet of a cluster's life in this process counts; there is never a second.
        let _ = self.machines.set(machines);
    }

    /// Makes the machines as ARM's pools say; a pool that is gone loses all of them.
    pub async fn apply(&self, cluster: &Value, views: &[PoolView]) -> Result<(), MachineError> {
        let Some(machines) = self.machines.get() else { return Ok(()) };
        for view in views {
            let pool = self.pool(cluster, view);
            // The autoscaler may have asked for more since ARM described the pool: its number stands while it lies within.
            let count = match (view.autoscaling, machines.pool(&view.name)) {
                (true, Some(state)) => {
                    let size = u32::try_from(state.machines.len()).unwrap_or(u32::MAX);
                    size.clamp(view.min_count.unwrap_or(0), view.max_count.unwrap_or(u32::MAX))
                }
                _ => view.count,
            };
            machines.set_pool(pool.clone(), count).await?;
            self.wanted.lock().insert(view.name.clone(), (view.clone(), pool));
        }
        let gone: Vec<String> = {
            let wanted = self.wanted.lock();
            wanted.keys().filter(|name| !views.iter().any(|view| view.name == **name)).cloned().collect()
        };
        for name in gone {
            machines.remove_pool(&name).await?;
            self.wanted.lock().remove(&name);
        }
        Ok(())
    }

    fn pool(&self, cluster: &Value, view: &PoolView) -> Pool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Pool {
            name: view.name.clone(),
            vm_size: view.vm_size.clone(),
            mode: view.mode.clone(),
            max_pods: view.max_pods,
            labels: view.labels.iter().cloned().collect(),
            taints: view.taints.clone(),
            subnet: subnet(view),
            node_image_version: view.node_image_version.clone(),
            cluster_id: self.cluster_id.clone(),
            node_resource_group: text(&cluster["properties"]["nodeResourceGroup"]),
            location: text(&cluster["location"]),
            kubelet_version: self.kubelet_version.clone(),
        }
    }

    fn machines(&self, group: &str) -> Result<&Arc<Machines>, NodeGroupError> {
        self.machines.get().ok_or_else(|| NodeGroupError::NotFound(group.to_owned()))
    }

    async fn report_count(&self, group: &str) {
        let Some(state) = self.machines.get().and_then(|machines| machines.pool(group)) else { return };
        let count = u32::try_from(state.machines.len()).unwrap_or(u32::MAX);
        self.counts.set(&format!("{}/agentPools/{group}", self.cluster_id), count).await;
    }
}

/// First address of the pool's subnet; AKS makes its own VNet, 10.224.0.0/12, where none is given.
fn subnet(view: &PoolView) -> Ipv4Addr {
    let prefix = view.subnet_prefix.as_deref().and_then(|prefix| prefix.split('/').next()?.parse().ok());
    prefix.unwrap_or(Ipv4Addr::new(10, 224, 0, 0))
}

#[async_trait]
impl NodeGroups for Pools {
    fn groups(&self) -> Vec<NodeGroup> {
        let Some(machines) = self.machines.get() else { return Vec::new() };
        let wanted = self.wanted.lock();
        let group = |(view, pool): &(PoolView, Pool)| -> Option<NodeGroup> {
            let state = machines.pool(&view.name)?;
            let size = u32::try_from(state.machines.len()).unwrap_or(u32::MAX);
            let template =
                pool.template().inspect_err(|error| tracing::error!(%error, pool = view.name, "no template")).ok()?;
            let instances = state.machines.iter().map(|machine| Instance {
                node_name: machine.node.clone(),
                state: if machine.running { InstanceState::Running } else { InstanceState::Creating },
                created_at: Timestamp(machine.created_ms),
            });
            Some(NodeGroup {
                name: view.name.clone(),
                min: view.min_count.unwrap_or(size),
                max: view.max_count.unwrap_or(size),
                target_size: size,
                template,
                instances: instances.collect(),
                autoscaling: view.autoscaling,
            })
        };
        wanted.values().filter_map(group).collect()
    }

    async fn increase(&self, group: &str, new_size: u32) -> Result<(), NodeGroupError> {
        let unknown = || NodeGroupError::NotFound(group.to_owned());
        let (view, pool) = self.wanted.lock().get(group).cloned().ok_or_else(unknown)?;
        if view.max_count.is_some_and(|max| new_size > max) {
            return Err(NodeGroupError::Refused(format!("{new_size} machines lie above the pool's maximum")));
        }
        let machines = self.machines(group)?;
        machines.set_pool(pool, new_size).await.map_err(|error| NodeGroupError::Refused(error.to_string()))?;
        self.report_count(group).await;
        Ok(())
    }

    async fn delete_nodes(&self, group: &str, nodes: &[String]) -> Result<(), NodeGroupError> {
        let machines = self.machines(group)?;
        machines.delete(group, nodes).await.map_err(|error| NodeGroupError::Refused(error.to_string()))?;
        self.report_count(group).await;
        Ok(())
    }
}
