//! What a platform used of each meter in a period.

use std::collections::BTreeMap;
use std::fmt;

use platform::{Platform, Pool};
use serde::Serialize;
use units::Millis;

use crate::disk::premium_tier;
use crate::{MONTH, Meter};

/// The stack that pays: what it makes costs, whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// Network and cluster.
    Base,
    /// Database and its network.
    Db,
    /// What the manifests make the cloud make: public addresses, and the traffic through them.
    Deploy,
}

impl Stack {
    pub const ALL: [Stack; 3] = [Stack::Base, Stack::Db, Stack::Deploy];

    pub fn name(self) -> &'static str {
        match self {
            Stack::Base => "base",
            Stack::Db => "db",
            Stack::Deploy => "deploy",
        }
    }
}

/// Nodes × milliseconds of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTime(pub u128);

impl NodeTime {
    /// So many nodes for so long.
    pub fn steady(nodes: u32, period: Millis) -> NodeTime {
        NodeTime(u128::from(nodes) * milliseconds(period))
    }

    /// The time under the steps `(at, nodes)`, each of which holds until the next or the end of the period. Before the first
    /// step there are none; steps outside the period, or out of order, count for the part of it that they cover in order.
    pub fn of_steps(steps: &[(Millis, u32)], period: Millis) -> NodeTime {
        let inside = |at: Millis| at.0.clamp(0, period.0.max(0));
        let ends = steps.iter().skip(1).map(|step| step.0).chain([period]);
        let time = steps.iter().zip(ends).map(|((at, nodes), end)| {
            let held = (inside(end) - inside(*at)).max(0);
            u128::from(*nodes) * u128::from(held.unsigned_abs())
        });
        NodeTime(time.sum())
    }
}

fn milliseconds(period: Millis) -> u128 {
    u128::from(period.0.max(0).unsigned_abs())
}

/// Bytes and queries in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Through the load balancer, both ways.
    pub load_balancer_bytes: u64,
    /// Out to the internet.
    pub egress_bytes: u64,
    /// Between the cluster's and the database's network, both ways.
    pub database_bytes: u64,
    pub dns_queries: u64,
}

/// What varied in a period; all else follows from the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumption {
    pub period: Millis,
    /// By pool. A node counts from its allocation to its deletion, booting included.
    pub node_time: BTreeMap<String, NodeTime>,
    pub traffic: Traffic,
    /// Backups kept beyond the size of the provisioned storage.
    pub backup_gib_beyond_storage: u32,
}

impl Consumption {
    /// A month in which every pool keeps the number of nodes that `nodes` gives it, without traffic.
    pub fn steady_month(platform: &Platform, nodes: impl Fn(&Pool) -> u32) -> Consumption {
        let pools = platform.pools.iter();
        Consumption {
            period: MONTH,
            node_time: pools.map(|pool| (pool.name.clone(), NodeTime::steady(nodes(pool), MONTH))).collect(),
            traffic: Traffic::default(),
            backup_gib_beyond_storage: 0,
        }
    }

    /// Every pool at its minimum all month.
    pub fn floor(platform: &Platform) -> Consumption {
        Consumption::steady_month(platform, |pool| pool.scaling.min())
    }

    /// Every pool at its maximum all month.
    pub fn ceiling(platform: &Platform) -> Consumption {
        Consumption::steady_month(platform, |pool| pool.scaling.max())
    }
}

/// So much of one meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub stack: Stack,
    /// For people: `pool backend`.
    pub resource: String,
    pub meter: Meter,
    pub sku: String,
    /// In the meter's own units: instance-milliseconds, GiB-milliseconds, bytes or operations.
    pub amount: u128,
}

/// Azure's least, which a template that names none gets.
const SMALLEST_STORAGE_GIB: u32 = 32;

fn has_cluster(platform: &Platform) -> bool {
    !platform.cluster.name.is_empty()
}

/// Everything that a period is billed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub period: Millis,
    pub items: Vec<Item>,
}

/// A platform and a consumption that do not fit, or something that costs money and has no meter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    UnknownPool { pool: String, known: Vec<String> },
    PoolWithoutNodeTime { pool: String },
    OutboundType(String),
    Disk { pool: String, gib: u32 },
    VmSize { pool: String, vm_size: String },
    NoPeriod,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::UnknownPool { pool, known } => {
                write!(
                    f,
                    "nodes of the pool `{pool}` are to be billed, which the platform does not have; its pools are {}",
                    known.join(", ")
                )
            }
            UsageError::PoolWithoutNodeTime { pool } => {
                write!(f, "the time that nodes of the pool `{pool}` existed is not given")
            }
            UsageError::OutboundType(kind) => {
                write!(f, "the cost of the outbound type `{kind}` is not known here; `loadBalancer` is")
            }
            UsageError::Disk { pool, gib } => {
                write!(f, "the pool `{pool}` asks for OS disks of {gib} GiB, and no managed disk is as large")
            }
            UsageError::VmSize { pool, vm_size } => {
                write!(
                    f,
                    "the pool `{pool}` has the VM size `{vm_size}`, which marea does not know, so nor AKS's default disk for it"
                )
            }
            UsageError::NoPeriod => f.write_str("the period to be billed is not longer than nothing"),
        }
    }
}

impl std::error::Error for UsageError {}

impl Usage {
    /// What Azure would meter of the platform in the period.
    ///
    /// # Errors
    /// When the two do not fit, or the platform has something that costs and is not known here.
    pub fn of(platform: &Platform, consumption: &Consumption) -> Result<Usage, UsageError> {
        if consumption.period.0 <= 0 {
            return Err(UsageError::NoPeriod);
        }
        let known = || platform.pools.iter().map(|pool| pool.name.clone()).collect();
        if let Some(pool) = consumption.node_time.keys().find(|name| platform.pool(name).is_none()) {
            return Err(UsageError::UnknownPool { pool: pool.clone(), known: known() });
        }
        let mut usage = Usage { period: consumption.period, items: Vec::new() };
        usage.cluster(platform, consumption)?;
        usage.edge(platform, &consumption.traffic)?;
        usage.database(platform, consumption);
        usage.items.sort_by_key(|item| (item.stack, item.meter));
        Ok(usage)
    }

    /// The same use for another period, each amount in proportion.
    #[must_use]
    pub fn scaled_to(&self, period: Millis) -> Usage {
        let (to, from) = (milliseconds(period), milliseconds(self.period).max(1));
        let items = self.items.iter().map(|item| {
            let amount = item.amount.saturating_mul(to).saturating_add(from / 2) / from;
            Item { amount, ..item.clone() }
        });
        Usage { period, items: items.collect() }
    }

    fn add(&mut self, stack: Stack, resource: impl Into<String>, meter: Meter, sku: &str, amount: u128) {
        if amount > 0 {
            self.items.push(Item { stack, resource: resource.into(), meter, sku: sku.to_owned(), amount });
        }
    }

    fn cluster(&mut self, platform: &Platform, consumption: &Consumption) -> Result<(), UsageError> {
        for pool in &platform.pools {
            let name = pool.name.clone();
            let Some(NodeTime(time)) = consumption.node_time.get(&name).copied() else {
                return Err(UsageError::PoolWithoutNodeTime { pool: name });
            };
            let resource = format!("pool {name}");
            self.add(Stack::Base, &resource, Meter::Vm, &pool.vm_size, time);
            let gib = pool
                .os_disk_gib_or_default()
                .ok_or_else(|| UsageError::VmSize { pool: name.clone(), vm_size: pool.vm_size.clone() })?;
            let tier = premium_tier(gib).ok_or(UsageError::Disk { pool: name, gib })?;
            self.add(Stack::Base, resource, Meter::OsDisk, tier, time);
        }
        if has_cluster(platform) {
            let resource = format!("cluster {}", platform.cluster.name);
            self.add(Stack::Base, resource, Meter::ControlPlane, &platform.cluster.tier, milliseconds(self.period));
        }
        Ok(())
    }

    /// AKS keeps one standard load balancer for the cluster: its own outbound rule and address, and for each public Service an
    /// address and a rule per port (AKS, "Use a public standard load balancer").
    fn edge(&mut self, platform: &Platform, traffic: &Traffic) -> Result<(), UsageError> {
        const STANDARD: &str = "Standard";
        const INCLUDED_RULES: u32 = 5;
        let time = milliseconds(self.period);
        let outbound = match platform.cluster.outbound_type.as_deref() {
            _ if !has_cluster(platform) => 0,
            None | Some("loadBalancer") => 1,
            Some("userDefinedRouting" | "none" | "block") => 0,
            Some(other) => return Err(UsageError::OutboundType(other.to_owned())),
        };
        let ports: u32 = platform.public_services.iter().map(|service| service.ports).sum();
        if outbound + ports > 0 {
            self.add(Stack::Base, "load balancer", Meter::LoadBalancer, STANDARD, time);
        }
        let beyond = u128::from((outbound + ports).saturating_sub(INCLUDED_RULES));
        self.add(Stack::Deploy, "load balancer", Meter::LoadBalancerRule, STANDARD, beyond * time);
        self.add(Stack::Base, "outbound address", Meter::PublicIp, STANDARD, u128::from(outbound) * time);
        for service in &platform.public_services {
            let resource = format!("service {}/{}", service.namespace, service.name);
            self.add(Stack::Deploy, resource, Meter::PublicIp, STANDARD, time);
        }
        let bytes = u128::from(traffic.load_balancer_bytes);
        self.add(Stack::Deploy, "load balancer", Meter::LoadBalancerData, STANDARD, bytes);
        self.add(Stack::Deploy, "internet", Meter::Egress, "Internet", traffic.egress_bytes.into());
        Ok(())
    }

    fn database(&mut self, platform: &Platform, consumption: &Consumption) {
        let time = milliseconds(self.period);
        let traffic = &consumption.traffic;
        if let Some(database) = &platform.database {
            let resource = "PostgreSQL server";
            // A standby has compute and storage of its own.
            let time = if database.highly_available { 2 * time } else { time };
            let storage = u128::from(database.storage_gib.unwrap_or(SMALLEST_STORAGE_GIB)) * time;
            let backup = u128::from(consumption.backup_gib_beyond_storage) * milliseconds(self.period);
            self.add(Stack::Db, resource, Meter::DatabaseCompute, &database.size, time);
            self.add(Stack::Db, resource, Meter::DatabaseStorage, "Premium", storage);
            self.add(Stack::Db, resource, Meter::DatabaseBackup, "LRS", backup);
        }
        for zone in &platform.network.private_dns_zones {
            self.add(Stack::Db, format!("zone {zone}"), Meter::PrivateDnsZone, "Private", time);
        }
        self.add(Stack::Db, "private zones", Meter::PrivateDnsQueries, "Private", traffic.dns_queries.into());
        if !platform.network.peerings.is_empty() {
            for direction in ["Inbound", "Outbound"] {
                self.add(Stack::Db, "peering", Meter::PeeringData, direction, traffic.database_bytes.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(i64, u32)], period: i64, expected: u128) {
        let steps: Vec<(Millis, u32)> = steps.iter().map(|(at, nodes)| (Millis(*at), *nodes)).collect();
        assert_eq!(NodeTime::of_steps(&steps, Millis(period)), NodeTime(expected), "{steps:?} in {period}");
    }

    #[test]
    fn node_time_is_the_area_under_the_steps() {
        check(&[(0, 3)], 1000, 3000);
        check(&[(0, 1), (400, 5), (700, 2)], 1000, 400 + 1500 + 600);
        check(&[(250, 4)], 1000, 3000);
        check(&[(0, 1), (1500, 9)], 1000, 1000);
        check(&[(-500, 2), (500, 1)], 1000, 1500);
        check(&[(0, 1), (0, 7)], 10, 70);
        check(&[], 1000, 0);
        check(&[(0, 3)], -5, 0);
    }
}
