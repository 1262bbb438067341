//! The machines of all agent pools: made, booted, kept alive and deleted as a scale set would.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube_server::{DeleteOptions, PatchKind};
use network::addressing::Range;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use units::Timestamp;

use super::object::{Place, Pool};
use super::{conditions, naming};
use crate::clock::now;
use crate::config::Boot;
use crate::manager::Workers;
use crate::process::{read_record, write_record};
use crate::shared::Shared;

/// Upstream's `nodeLeaseRenewIntervalFraction` of a 40 s lease.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
/// Upstream reports an unchanged status every five minutes (`nodeStatusReportFrequency`).
const STATUS_EVERY_BEATS: u32 = 30;
/// Upstream's pauses between attempts to register (pkg/kubelet/kubelet_node_status.go of 1.36, `registerWithAPIServer`).
const REGISTER_AGAIN: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(7);
/// Azure keeps the first four addresses of every subnet and the last.
const FIRST_MACHINE: u8 = 4;

fn size_names() -> String {
    platform::Size::all().iter().map(|size| size.name).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("agent pool {pool}: VM size {size} is not known to the embedded cloud; it knows {}", size_names())]
    UnknownSize { pool: String, size: String },
    #[error("taint `{0}` is not of the form key=value:NoSchedule")]
    Taint(String),
    #[error("agent pool {pool}: its machines cannot be described: {reason}")]
    Template { pool: String, reason: String },
    #[error("agent pool {0} does not exist")]
    NoPool(String),
    #[error("agent pool {pool} has no machine {node}")]
    NoMachine { pool: String, node: String },
    #[error("agent pool {0}: its subnet or the pod range has no address left for another machine")]
    NoAddress(String),
    #[error("cannot record the machines in {}", path.display())]
    Record {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of its node.
    pub node: String,
    pub instance: u32,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// The virtual address in the pool's subnet.
    pub address: Ipv4Addr,
    /// The virtual /24 of its pods.
    pub pods: Ipv4Addr,
    /// True once it has booted and registered.
    pub running: bool,
}

/// A pool and its machines, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolState {
    pub pool: Pool,
    pub machines: Vec<Machine>,
    /// The next instance's number; numbers are never used twice.
    next_instance: u32,
}

type Pools = BTreeMap<String, PoolState>;

pub struct Machines {
    shared: Arc<Shared>,
    workers: Arc<Workers>,
    path: PathBuf,
    pools: Mutex<Pools>,
    own: Weak<Machines>,
}

impl Machines {
    pub(crate) fn load(shared: Arc<Shared>, workers: Arc<Workers>) -> std::io::Result<Arc<Machines>> {
        let path = shared.config.data_dir.join("machines.json");
        let pools = match std::fs::read(&path) {
            Ok(_) => read_record(&path).ok_or_else(|| {
                let hint = "it is damaged; `marea local reset` starts afresh";
                std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{}: {hint}", path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Pools::new(),
            Err(error) => return Err(error),
        };
        Ok(Arc::new_cyclic(|own| Machines { shared, workers, path, pools: Mutex::new(pools), own: own.clone() }))
    }

    /// Takes the machines of an earlier run up again; those that were booting boot anew.
    pub(crate) fn resume(&self) {
        let pools = self.pools.lock().clone();
        for state in pools.values() {
            for machine in &state.machines {
                if machine.running {
                    self.shared.add_node(
                        &machine.node,
                        self.address(machine),
                        self.shared.config.pod_address(machine.pods),
                    );
                    let Some(machines) = self.own.upgrade() else { return };
                    let (pool, machine) = (state.pool.clone(), machine.clone());
                    tokio::spawn(async move { machines.register(&pool, &machine).await });
                } else {
                    self.boot(&state.pool, machine);
                }
            }
        }
    }

    pub fn pools(&self) -> Vec<PoolState> {
        self.pools.lock().values().cloned().collect()
    }

    pub fn pool(&self, name: &str) -> Option<PoolState> {
        self.pools.lock().get(name).cloned()
    }

    /// Makes the pool have this many machines: new ones boot, the newest go first. A changed pool is taken over by
    /// machines to come; labels and taints also by those that are there, as AKS does.
    ///
    /// # Errors
    /// When the pool's description is not valid, addresses are used up or the record cannot be written.
    pub async fn set_pool(&self, pool: Pool, count: u32) -> Result<(), MachineError> {
        pool.check()?;
        let (relabel, made, removed) = {
            let mut pools = self.pools.lock();
            let mut next = pools.clone();
            let known = next.get(&pool.name).map(|state| state.pool.clone());
            let empty = || PoolState { pool: pool.clone(), machines: Vec::new(), next_instance: 0 };
            next.entry(pool.name.clone()).or_insert_with(empty).pool = pool.clone();
            let mut made = Vec::new();
            while next[&pool.name].machines.len() < count as usize {
                made.push(add_machine(&mut next, &pool.name)?);
            }
            let mut removed = Vec::new();
            if let Some(state) = next.get_mut(&pool.name) {
                removed = state.machines.split_off((count as usize).min(state.machines.len()));
            }
            self.record(&next)?;
            *pools = next;
            (known.is_some_and(|known| known != pool), made, removed)
        };
        made.iter().for_each(|machine| self.boot(&pool, machine));
        for machine in removed {
            self.unplug(&machine).await;
        }
        if relabel {
            self.relabel(&pool).await;
        }
        Ok(())
    }

    /// Deletes these machines; the pool gets smaller by as many.
    ///
    /// # Errors
    /// When the pool or a machine is unknown, or the record cannot be written.
    pub async fn delete(&self, pool: &str, nodes: &[String]) -> Result<(), MachineError> {
        let removed = {
            let mut pools = self.pools.lock();
            let mut next = pools.clone();
            let state = next.get_mut(pool).ok_or_else(|| MachineError::NoPool(pool.to_owned()))?;
            if let Some(unknown) =
                nodes.iter().find(|node| !state.machines.iter().any(|machine| machine.node == **node))
            {
                return Err(MachineError::NoMachine { pool: pool.to_owned(), node: unknown.clone() });
            }
            let removed: Vec<Machine> =
                state.machines.extract_if(.., |machine| nodes.contains(&machine.node)).collect();
            self.record(&next)?;
            *pools = next;
            removed
        };
        for machine in removed {
            self.unplug(&machine).await;
        }
        Ok(())
    }

    /// Deletes the pool with all its machines. A pool that is not there is no error.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn remove_pool(&self, pool: &str) -> Result<(), MachineError> {
        let removed = {
            let mut pools = self.pools.lock();
            let mut next = pools.clone();
            let removed = next.remove(pool).map(|state| state.machines).unwrap_or_default();
            self.record(&next)?;
            *pools = next;
            removed
        };
        for machine in removed {
            self.unplug(&machine).await;
        }
        Ok(())
    }

    fn record(&self, pools: &Pools) -> Result<(), MachineError> {
        write_record(&self.path, pools).map_err(|source| MachineError::Record { path: self.path.clone(), source })
    }

    fn address(&self, machine: &Machine) -> Ipv4Addr {
        self.shared.config.addressing.host_address(Range::Node, machine.address)
    }

    fn boot(&self, pool: &Pool, machine: &Machine) {
        let Some(machines) = self.own.upgrade() else { return };
        let (pool, machine) = (pool.clone(), machine.clone());
        let delay = boot_time(self.shared.config.boot, &machine.node);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            machines.booted(&pool, &machine).await;
        });
    }

    /// Registers the node, unless the machine was deleted while it booted.
    async fn booted(&self, pool: &Pool, machine: &Machine) {
        let still_wanted = {
            let mut pools = self.pools.lock();
            let own = pools
                .get_mut(&pool.name)
                .and_then(|state| state.machines.iter_mut().find(|own| own.node == machine.node));
            match own {
                Some(own) => {
                    own.running = true;
                    true
                }
                None => false,
            }
        };
        if !still_wanted {
            return;
        }
        let pools = self.pools.lock().clone();
        if let Err(error) = self.record(&pools) {
            tracing::warn!(%error, "a machine's state is not on disk; it would boot again after a restart");
        }
        self.shared.add_node(&machine.node, self.address(machine), self.shared.config.pod_address(machine.pods));
        self.register(pool, machine).await;
        self.workers.sync(&self.shared);
    }

    /// Creates the Node object where it is missing, and reports it healthy.
    async fn register(&self, pool: &Pool, machine: &Machine) {
        let place = Place { address: self.address(machine), pods: self.shared.config.pod_address(machine.pods) };
        let value = match pool.node(&machine.node, machine.instance, Some(place)) {
            Ok(value) => value,
            Err(error) => return tracing::error!(%error, node = %machine.node, "a node cannot be registered"),
        };
        let client = &self.shared.client;
        let mut status = value["status"].clone();
        status["conditions"] = conditions::healthy(now(), now());
        let mut object = value;
        object["status"] = status.clone();
        let mut pauses = pauses();
        while !self.has_node_object(&machine.node, &object).await {
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            if !self.shared.has_node(&machine.node) {
                return;
            }
        }
        self.renew_lease(&machine.node).await;
        if let Err(error) = client.patch_status::<Node>(None, &machine.node, &json!({"status": status})).await {
            tracing::warn!(%error, node = %machine.node, "cannot report a node's status");
        }
    }

    /// Creates the object where it is missing. A full disk, say, refuses it for now, and a machine without a node would never
    /// be used and never be replaced.
    async fn has_node_object(&self, name: &str, object: &serde_json::Value) -> bool {
        if self.shared.client.get::<Node>(None, name).is_some() {
            return true;
        }
        match self.shared.client.create_raw("nodes", None, object.clone()).await {
            Err(error) if error.code() != 409 => {
                tracing::error!(%error, node = name, "a node cannot be registered yet");
                false
            }
            _ => true,
        }
    }

    async fn relabel(&self, pool: &Pool) {
        let nodes = self.pool(&pool.name).map(|state| state.machines).unwrap_or_default();
        for machine in nodes.iter().filter(|machine| machine.running) {
            let Ok(value) = pool.node(&machine.node, machine.instance, None) else { continue };
            let patch = json!({"metadata": {"labels": value["metadata"]["labels"]}, "spec": {"taints": value["spec"].get("taints")}});
            if let Err(error) = self.shared.client.patch::<Node>(None, &machine.node, PatchKind::Merge, &patch).await {
                tracing::warn!(%error, node = %machine.node, "cannot update a node's labels and taints");
            }
        }
    }

    /// The machine disappears: its containers end at once and its node is removed, as the cloud's node controller does.
    async fn unplug(&self, machine: &Machine) {
        self.workers.node_gone(&self.shared, &machine.node);
        self.shared.remove_node(&machine.node);
        let client = &self.shared.client;
        for (what, outcome) in [
            ("node", client.delete::<Node>(None, &machine.node, &DeleteOptions::default()).await),
            ("lease", client.delete::<Lease>(Some("kube-node-lease"), &machine.node, &DeleteOptions::default()).await),
        ] {
            if let Err(error) = outcome
                && error.code() != 404
            {
                tracing::warn!(%error, node = %machine.node, what, "cannot remove what a machine leaves behind");
            }
        }
    }

    async fn renew_lease(&self, node: &str) {
        let client = &self.shared.client;
        let spec =
            json!({"holderIdentity": node, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now().rfc3339_micros()});
        let outcome = match client.get::<Lease>(Some("kube-node-lease"), node) {
            Some(_) => client
                .patch::<Lease>(Some("kube-node-lease"), node, PatchKind::Merge, &json!({"spec": spec}))
                .await
                .map(drop),
            None => {
                let object = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": node, "namespace": "kube-node-lease"}, "spec": spec,
                });
                client.create_raw("leases.coordination.k8s.io", Some("kube-node-lease"), object).await.map(drop)
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, node, "cannot renew a node's lease");
        }
    }

    pub(crate) async fn heartbeat(self: Arc<Self>) {
        let mut beats = tokio::time::interval(HEARTBEAT);
        // After the machine slept, one beat is as good as many.
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            beats.tick().await;
            count = count.wrapping_add(1);
            let mut nodes = self.shared.node_names();
            nodes.retain(|node| self.shared.node_fault(node).is_none());
            // At once, so that the writes share one disk sync.
            futures::future::join_all(nodes.iter().map(|node| self.renew_lease(node))).await;
            for node in nodes.iter().filter(|node| count.is_multiple_of(STATUS_EVERY_BEATS) || !self.is_ready(node)) {
                self.report_health(node).await;
            }
        }
    }

    /// A machine that comes back does not wait for the next round.
    pub(crate) async fn beat(&self, node: &str) {
        self.renew_lease(node).await;
        self.report_health(node).await;
    }

    /// False when the node controller has given the node up, e.g. while the daemon was stopped.
    fn is_ready(&self, node: &str) -> bool {
        let node = self.shared.client.get::<Node>(None, node);
        let conditions = node.as_ref().and_then(|node| node.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    async fn report_health(&self, name: &str) {
        let Some(node) = self.shared.client.get::<Node>(None, name) else { return };
        let since = if self.is_ready(name) {
            node.metadata.creation_timestamp.as_ref().map(|time| Timestamp::from(time.0))
        } else {
            None
        };
        let patch = json!({"status": {"conditions": conditions::healthy(since.unwrap_or_else(now), now())}});
        if let Err(error) = self.shared.client.patch_status::<Node>(None, name, &patch).await {
            tracing::warn!(%error, node = name, "cannot report a node's status");
        }
    }
}

/// Between attempts to register.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(REGISTER_AGAIN), |pause| Some((*pause * 2).min(LONGEST_PAUSE)))
}

/// Adds one machine to the pool, with the lowest free addresses.
fn add_machine(pools: &mut Pools, name: &str) -> Result<Machine, MachineError> {
    let all: Vec<&Machine> = pools.values().flat_map(|state| &state.machines).collect();
    let exhausted = || MachineError::NoAddress(name.to_owned());
    let [a, b, c, _] = pools[name].pool.subnet.octets();
    let address = (FIRST_MACHINE..255)
        .map(|host| Ipv4Addr::new(a, b, c, host))
        .find(|address| !all.iter().any(|machine| machine.address == *address));
    let pods = (0..=255)
        .map(|node| Ipv4Addr::new(10, 244, node, 0))
        .find(|pods| !all.iter().any(|machine| machine.pods == *pods));
    let (address, pods) = (address.ok_or_else(exhausted)?, pods.ok_or_else(exhausted)?);
    let Some(state) = pools.get_mut(name) else { return Err(MachineError::NoPool(name.to_owned())) };
    let instance = state.next_instance;
    let machine = Machine {
        node: naming::node(&state.pool.scale_set(), instance),
        instance,
        created_ms: now().0,
        address,
        pods,
        running: false,
    };
    state.next_instance += 1;
    state.machines.push(machine.clone());
    Ok(machine)
}

fn boot_time(boot: Boot, node: &str) -> Duration {
    match boot {
        Boot::Fixed(time) => time,
        Boot::Realistic => {
            // Twelve uniform numbers add up to nearly a normal one, and the node's name makes them repeatable.
            let uniform = |part: u32| (naming::hash(&format!("{node}/{part}")) % 10_000) as f64 / 10_000.0;
            let normal = (0..12).map(uniform).sum::<f64>() - 6.0;
            Duration::from_secs_f64((140.0 * (0.25 * normal).exp()).clamp(117.0, 293.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tries_to_register_at_upstreams_pace() {
        let millis: Vec<u128> = pauses().take(9).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 6400, 7000, 7000]);
    }

    /// Differs (Azure Resource Manager): Machines boot at once, or with `--realistic` within 117 to 293 s by a hash of
    /// their name: the range that was measured on Azure, not its distribution over a day.
    #[test]
    fn realistic_boot_times_stay_within_what_was_measured() {
        let times: Vec<f64> =
            (0..200).map(|index| boot_time(Boot::Realistic, &format!("node-{index}")).as_secs_f64()).collect();
        assert!(times.iter().all(|time| (117.0..=293.0).contains(time)));
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        assert!((125.0..155.0).contains(&sorted[100]), "median {}", sorted[100]);
        assert_eq!(boot_time(Boot::Realistic, "node-1"), boot_time(Boot::Realistic, "node-1"));
    }
}
