//! What it costs, by the crate that also makes the bills.

use std::collections::BTreeMap;
use std::fmt;

use platform::Platform;
use price::{Consumption, MONTH, NodeTime, PriceSheet, Traffic, Usage, bill};
use units::Millis;

use super::Hourly;
use crate::scenario::Scenario;

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostError(pub String);

impl fmt::Display for CostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CostError {}

/// Dollars of a month that goes on like the simulation.
pub(crate) fn month(
    scenario: &Scenario,
    node_millis: &BTreeMap<String, u128>,
    requests: f64,
) -> Result<f64, CostError> {
    let bytes = (requests * scenario.cloud.bytes_per_request.0 as f64).clamp(0.0, 1e18) as u64;
    let consumption = Consumption {
        period: scenario.duration,
        node_time: node_millis.iter().map(|(pool, millis)| (pool.clone(), NodeTime(*millis))).collect(),
        traffic: Traffic { load_balancer_bytes: bytes, egress_bytes: bytes, ..Traffic::default() },
        backup_gib_beyond_storage: 0,
    };
    priced(&scenario.platform, &consumption)
}

fn priced(platform: &Platform, consumption: &Consumption) -> Result<f64, CostError> {
    let sheet = PriceSheet::committed().map_err(|error| CostError(error.to_string()))?;
    let usage = Usage::of(platform, consumption).map_err(|error| CostError(error.to_string()))?.scaled_to(MONTH);
    let bill = bill(&usage, sheet, &platform.cluster.location).map_err(|error| CostError(error.to_string()))?;
    // Millionths, so that the number is the same wherever it is printed.
    let text = format!("{:.6}", bill.total());
    text.parse().map_err(|_| CostError(format!("the total {text} is not a number")))
}

/// What a number of nodes costs an hour.
pub(crate) struct Rates(Hourly);

impl Rates {
    pub(crate) fn new(platform: &Platform) -> Rates {
        let steady = |index: Option<usize>| {
            let node_time =
                platform.pools.iter().enumerate().map(|(number, pool)| {
                    (pool.name.clone(), NodeTime::steady(u32::from(index == Some(number)), MONTH))
                });
            let consumption = Consumption {
                period: MONTH,
                node_time: node_time.collect(),
                traffic: Traffic::default(),
                backup_gib_beyond_storage: 0,
            };
            priced(platform, &consumption).unwrap_or(0.0)
        };
        let hours = Millis(MONTH.0).as_secs_f64() / 3600.0;
        let fixed = steady(None);
        let nodes = (0..platform.pools.len()).map(|index| (steady(Some(index)) - fixed) / hours).collect();
        Rates(Hourly { fixed: fixed / hours, nodes })
    }

    pub(crate) fn now(&self, nodes: &[i32]) -> f64 {
        let of_nodes = self.0.nodes.iter().zip(nodes).map(|(price, count)| price * f64::from(*count)).sum::<f64>();
        self.0.fixed + of_nodes
    }

    pub(crate) fn hourly(&self) -> Hourly {
        self.0.clone()
    }
}
