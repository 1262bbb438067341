//! The cost table of the platform's specification, priced from a sheet under its own assumptions.
//!
//! Source: `arquitectura-aks.md`, "Costos Estimados (Free Tier Azure)": Standard_B2s nodes all month, a Free control plane, a
//! B1ms database, one load balancer, nothing else.

use units::Money;

use crate::usage::Item;
use crate::{BillError, MONTH, Meter, PriceSheet, Stack, Usage, bill};

/// From the least to the most.
pub type Span = (Money, Money);

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedLine {
    pub what: &'static str,
    /// What the table says, in its rounded dollars.
    pub said: Span,
    /// What the same thing costs at the sheet's prices.
    pub priced: Span,
}

/// The table, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedTable {
    pub lines: Vec<SeedLine>,
}

struct Row {
    what: &'static str,
    said_dollars: (i64, i64),
    meter: Meter,
    sku: &'static str,
    count: (u32, u32),
}

const fn row(what: &'static str, said_dollars: (i64, i64), meter: Meter, sku: &'static str, count: (u32, u32)) -> Row {
    Row { what, said_dollars, meter, sku, count }
}

const ROWS: [Row; 6] = [
    row("AKS control plane, Free", (0, 0), Meter::ControlPlane, "Free", (1, 1)),
    row("pool systempool, 1 × B2s", (30, 30), Meter::Vm, "Standard_B2s", (1, 1)),
    row("pool frontend, 1-3 × B2s", (30, 90), Meter::Vm, "Standard_B2s", (1, 3)),
    row("pool backend, 1-5 × B2s", (30, 150), Meter::Vm, "Standard_B2s", (1, 5)),
    row("PostgreSQL B1ms", (12, 12), Meter::DatabaseCompute, "Standard_B1ms", (1, 1)),
    row("load balancer", (20, 20), Meter::LoadBalancer, "Standard", (1, 1)),
];

impl SeedTable {
    /// The total that the specification prints under its table. Its own lines do not add up to it: see [`SeedTable::sum_said`].
    pub const SAID_TOTAL: Span = (Money::from_cents(9_200), Money::from_cents(30_200));

    /// What the table counts; everything else on a bill it forgets.
    pub const METERS: [Meter; 4] = [Meter::Vm, Meter::ControlPlane, Meter::LoadBalancer, Meter::DatabaseCompute];

    /// # Errors
    /// When the sheet lacks one of the table's prices in the region.
    pub fn priced(sheet: &PriceSheet, region: &str) -> Result<SeedTable, BillError> {
        let cost = |row: &Row, count: u32| {
            let amount = u128::from(count) * u128::from(MONTH.0.unsigned_abs());
            let item = Item {
                stack: Stack::Base,
                resource: row.what.to_owned(),
                meter: row.meter,
                sku: row.sku.to_owned(),
                amount,
            };
            bill(&Usage { period: MONTH, items: vec![item] }, sheet, region).map(|bill| bill.total())
        };
        let dollars = |dollars: i64| Money::from_cents(dollars * 100);
        let lines = ROWS.iter().map(|row| {
            Ok(SeedLine {
                what: row.what,
                said: (dollars(row.said_dollars.0), dollars(row.said_dollars.1)),
                priced: (cost(row, row.count.0)?, cost(row, row.count.1)?),
            })
        });
        Ok(SeedTable { lines: lines.collect::<Result<_, BillError>>()? })
    }

    /// The table's lines added: $122 to $302. Its $92 leaves one pool's thirty dollars out.
    pub fn sum_said(&self) -> Span {
        sum(self.lines.iter().map(|line| line.said))
    }

    pub fn sum_priced(&self) -> Span {
        sum(self.lines.iter().map(|line| line.priced))
    }
}

fn sum(spans: impl Iterator<Item = Span>) -> Span {
    spans.fold((Money::ZERO, Money::ZERO), |(low, high), (least, most)| (low + least, high + most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check((low, high): Span, expected_low: &str, expected_high: &str) {
        assert_eq!((low.to_string().as_str(), high.to_string().as_str()), (expected_low, expected_high));
    }

    /// By hand: 730 h × 0.0416 = 30.368 a node; 730 × 0.017 = 12.41; 730 × 0.025 = 18.25.
    #[test]
    fn the_table_is_reproduced_line_by_line() {
        let table = SeedTable::priced(PriceSheet::committed().unwrap(), "eastus").unwrap();
        let [control_plane, system, frontend, backend, database, balancer] = table.lines.as_slice() else {
            panic!("six lines")
        };
        check(control_plane.priced, "0.00", "0.00");
        check(system.priced, "30.37", "30.37");
        check(frontend.priced, "30.37", "91.10");
        check(backend.priced, "30.37", "151.84");
        check(database.priced, "12.41", "12.41");
        check(balancer.priced, "18.25", "18.25");
        check(table.sum_priced(), "121.76", "303.97");
        check(table.sum_said(), "122.00", "302.00");
        check(SeedTable::SAID_TOTAL, "92.00", "302.00");
        for line in &table.lines {
            let off = (line.priced.1 - line.said.1).cents().abs();
            assert!(off <= 200, "{}: {off} cents from what the table says", line.what);
        }
    }
}
