//! What Azure counts: one row per meter.

use std::fmt;

use serde::{Deserialize, Serialize};
use units::Millis;

/// Azure's month for monthly prices: 730 hours.
pub const MONTH: Millis = Millis::from_secs(730 * 3600);

/// The meters of the platform, in the order of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// Linux, pay as you go. From allocation to deletion, booting included, by the second.
    Vm,
    /// Managed premium SSD by tier, as long as its node exists.
    OsDisk,
    /// AKS's own charge by pricing tier.
    ControlPlane,
    /// A standard load balancer with its first five rules; outbound rules count too.
    LoadBalancer,
    /// Each rule after the fifth.
    LoadBalancerRule,
    /// Bytes that the load balancer processes, both ways.
    LoadBalancerData,
    PublicIp,
    DatabaseCompute,
    /// Provisioned, not used.
    DatabaseStorage,
    /// Backups beyond the size of the provisioned storage, which are free up to it.
    DatabaseBackup,
    PrivateDnsZone,
    PrivateDnsQueries,
    /// Bytes to the internet; graduated by the month.
    Egress,
    /// Bytes across a peering, charged on both sides.
    PeeringData,
}

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    Hour,
    /// 730 hours.
    Month,
    /// One GiB for 730 hours.
    GibMonth,
    /// 10⁹ bytes.
    Gb,
    /// A million operations.
    Million,
}

/// What a meter counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Milliseconds of existence, of all instances together.
    Time,
    /// GiB × milliseconds.
    Capacity,
    Bytes,
    Operations,
}

impl Unit {
    pub(crate) fn dimension(self) -> Dimension {
        match self {
            Unit::Hour | Unit::Month => Dimension::Time,
            Unit::GibMonth => Dimension::Capacity,
            Unit::Gb => Dimension::Bytes,
            Unit::Million => Dimension::Operations,
        }
    }

    /// Counted units of the dimension in one of these.
    pub(crate) fn size(self) -> u128 {
        match self {
            Unit::Hour => 3_600_000,
            Unit::Month | Unit::GibMonth => MONTH.0.unsigned_abs().into(),
            Unit::Gb => 1_000_000_000,
            Unit::Million => 1_000_000,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Unit::Hour => "hour",
            Unit::Month => "month",
            Unit::GibMonth => "GiB-month",
            Unit::Gb => "GB",
            Unit::Million => "million",
        }
    }
}

/// One row of the table of meters.
struct Row {
    meter: Meter,
    id: &'static str,
    label: &'static str,
    dimension: Dimension,
    /// The highest price of one unit that is believed; above it a sheet has a slipped point or the wrong currency.
    ceiling_dollars: u64,
}

const fn row(meter: Meter, id: &'static str, label: &'static str, dimension: Dimension, ceiling_dollars: u64) -> Row {
    Row { meter, id, label, dimension, ceiling_dollars }
}

const ROWS: [Row; 14] = [
    row(Meter::Vm, "vm", "nodes", Dimension::Time, 150),
    row(Meter::OsDisk, "os-disk", "OS disks", Dimension::Time, 5_000),
    row(Meter::ControlPlane, "control-plane", "AKS control plane", Dimension::Time, 10),
    row(Meter::LoadBalancer, "load-balancer", "load balancer", Dimension::Time, 5),
    row(Meter::LoadBalancerRule, "load-balancer-rule", "load balancer rules beyond five", Dimension::Time, 5),
    row(Meter::LoadBalancerData, "load-balancer-data", "load balancer data", Dimension::Bytes, 1),
    row(Meter::PublicIp, "public-ip", "public addresses", Dimension::Time, 1),
    row(Meter::DatabaseCompute, "database-compute", "database compute", Dimension::Time, 150),
    row(Meter::DatabaseStorage, "database-storage", "database storage", Dimension::Capacity, 5),
    row(Meter::DatabaseBackup, "database-backup", "database backup beyond the storage", Dimension::Capacity, 5),
    row(Meter::PrivateDnsZone, "private-dns-zone", "private DNS zone", Dimension::Time, 10),
    row(Meter::PrivateDnsQueries, "private-dns-queries", "private DNS queries", Dimension::Operations, 10),
    row(Meter::Egress, "egress", "traffic to the internet", Dimension::Bytes, 2),
    row(Meter::PeeringData, "peering-data", "traffic to the database's network", Dimension::Bytes, 2),
];

impl Meter {
    /// In the order of a bill.
    pub const ALL: [Meter; 14] = {
        let mut all = [Meter::Vm; 14];
        let mut index = 0;
        while index < all.len() {
            all[index] = ROWS[index].meter;
            index += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// As in sheets: `os-disk`.
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// As on bills: `OS disks`.
    pub fn label(self) -> &'static str {
        self.row().label
    }

    pub(crate) fn dimension(self) -> Dimension {
        self.row().dimension
    }

    pub(crate) fn ceiling_dollars(self) -> u64 {
        self.row().ceiling_dollars
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum_and_carry_its_wire_names() {
        for (index, meter) in Meter::ALL.into_iter().enumerate() {
            assert_eq!(meter as usize, index);
            assert_eq!(serde_json::to_value(meter).unwrap(), meter.id());
        }
    }
}
