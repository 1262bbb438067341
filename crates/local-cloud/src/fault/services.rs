//! Faults of what the cloud itself serves: its network, Azure Resource Manager, the disk under both APIs.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arm_server::Trouble;
use kubelet::faults::{Condition, NodeFault};
use network::rules::Cidr;

use super::{Action, Described, Target};
use crate::azure_network::{self, Name};
use crate::world::World;

impl World {
    pub(super) async fn service_conditions(&self) -> Vec<Described> {
        let trouble = self.engine.get().map(|engine| engine.trouble()).unwrap_or_default();
        let arm = match trouble {
            Trouble { failing_percent: 1.., .. } => Condition::Failing,
            Trouble { delay, .. } if !delay.is_zero() => Condition::Slow,
            _ => Condition::Running,
        };
        let disk = if self.disk_is_full.load(Ordering::Relaxed) { Condition::Full } else { Condition::Running };
        let mut found =
            vec![Described { target: Target::Arm, state: arm }, Described { target: Target::Disk, state: disk }];
        let cut = self.cut.borrow().clone();
        // One that was deleted meanwhile can still be healed.
        let names = self.subnets().await.into_keys().chain(cut.iter().cloned());
        let names: std::collections::BTreeSet<Name> = names.collect();
        found.extend(names.into_iter().map(|(network, name)| {
            let is_cut = cut.contains(&(network.clone(), name.clone()));
            let state = if is_cut { Condition::CutOff } else { Condition::Running };
            Described { target: Target::Subnet { network, name }, state }
        }));
        found
    }

    /// None without a sandbox, where every address reaches every other.
    async fn subnets(&self) -> BTreeMap<Name, Cidr> {
        let Some(engine) = self.engine.get().filter(|_| self.is_sandboxed()) else { return BTreeMap::new() };
        engine.with(|engine, _| azure_network::known(engine)).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the subnets are not known for now");
            BTreeMap::new()
        })
    }

    /// Its machines are lost to the control plane, which hears of nothing from there.
    pub(super) async fn break_subnet(&self, action: Action, network: &str, name: &str) -> bool {
        let subnet = (network.to_owned(), name.to_owned());
        let range = self.subnets().await.get(&subnet).copied();
        if action == Action::Cut && range.is_none() {
            return false;
        }
        let mut was_cut = false;
        self.cut.send_modify(|cut| {
            was_cut = cut.remove(&subnet);
            if action == Action::Cut {
                cut.insert(subnet.clone());
            }
        });
        let Some(range) = range else { return was_cut };
        for cluster in self.clusters.lock().await.values() {
            let kubelet = cluster.kubelet();
            let inside = kubelet.node_addresses().into_iter();
            for (node, _) in inside.filter(|(_, address)| range.contains(Cidr::host(*address))) {
                // A machine that has just been deleted needs neither.
                let _ = match action {
                    Action::Cut => kubelet.break_node(&node, NodeFault::CutOff),
                    _ if was_cut => kubelet.heal_node(&node).await,
                    _ => Ok(()),
                };
            }
        }
        true
    }

    pub(super) fn break_arm(&self, action: Action) -> bool {
        let Some(engine) = self.engine.get() else { return false };
        let now = engine.trouble();
        engine.set_trouble(match action {
            Action::Slow(millis) => Trouble { delay: Duration::from_millis(millis.into()), ..now },
            Action::Fail(percent) => Trouble { failing_percent: percent, ..now },
            _ => Trouble::default(),
        });
        true
    }

    pub(super) async fn fill_disk(&self, full: bool) -> bool {
        self.disk_is_full.store(full, Ordering::Relaxed);
        if let Some(engine) = self.engine.get() {
            engine.fill_disk(full);
        }
        self.clusters.lock().await.values().for_each(|cluster| cluster.fill_disk(full));
        true
    }
}
