//! What the nodes that are there now cost.

use std::collections::BTreeMap;

use platform::Platform;
use price::{Consumption, NodeTime, Traffic};
use serde_json::{Value, json};
use units::Millis;

use crate::error::Result;
use crate::pricing::Prices;
use crate::session::Session;
use crate::stacks::{Known, cost};

/// Prices and what is deployed, read once: neither changes from one second to the next.
pub struct Rate {
    prices: Prices,
    deployed: Platform,
}

const HOUR: Millis = Millis::from_secs(3600);

impl Rate {
    pub async fn new(session: &Session, known: &Known) -> Result<Rate> {
        Ok(Rate { prices: Prices::load(None)?, deployed: cost::deployed(session, known).await? })
    }

    /// Of an hour and of a month with so many nodes in each pool, without traffic. What a local cloud runs costs nothing; the
    /// figures are what the same would cost in the region that it says it is in.
    pub fn now(&self, pools: &Value) -> Value {
        match self.hour(pools) {
            Ok((hour, month)) => {
                json!({"hour": hour, "month": month, "currency": self.prices.sheet.currency, "region": self.deployed.cluster.location})
            }
            Err(error) => json!({"unknown": error.message}),
        }
    }

    fn hour(&self, pools: &Value) -> Result<(units::Money, units::Money)> {
        let counts: BTreeMap<&str, u32> = pools
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pool| Some((pool["name"].as_str()?, u32::try_from(pool["nodes"].as_u64()?).ok()?)))
            .collect();
        let count = |name: &str| counts.get(name).copied().unwrap_or(0);
        let consumption = |period: Millis| Consumption {
            period,
            node_time: self
                .deployed
                .pools
                .iter()
                .map(|pool| (pool.name.clone(), NodeTime::steady(count(&pool.name), period)))
                .collect(),
            traffic: Traffic::default(),
            backup_gib_beyond_storage: 0,
        };
        let bill = |period: Millis| self.prices.bill(&self.deployed, &consumption(period), None);
        Ok((bill(HOUR)?.total(), bill(price::MONTH)?.total()))
    }
}

/// `$0.26 an hour, $192.37 a month in eastus at these nodes`
pub fn text(cost: &Value) -> Option<String> {
    if let Some(problem) = cost["unknown"].as_str() {
        return Some(format!("not known: {problem}"));
    }
    let currency = cost["currency"].as_str()?;
    let amount = |value: &Value, decimals: usize| {
        let number = value.as_f64()?;
        Some(if currency == "USD" {
            format!("${number:.decimals$}")
        } else {
            format!("{number:.decimals$} {currency}")
        })
    };
    let (hour, month) = (amount(&cost["hour"], 3)?, amount(&cost["month"], 2)?);
    Some(format!("{hour} an hour, {month} a month in {} at these nodes", cost["region"].as_str()?))
}

#[cfg(test)]
mod tests {
    use platform::{Pool, Scaling};

    use super::*;

    #[test]
    fn an_hour_follows_the_nodes_that_are_there() {
        let pool = Pool {
            name: "backend".into(),
            vm_size: "Standard_B2s".into(),
            system: false,
            scaling: Scaling::Between { min: 1, max: 5 },
            max_pods: None,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            os_disk_gib: None,
            subnet: None,
            surge: 1,
        };
        let mut deployed = Platform { pools: vec![pool], ..Platform::default() };
        deployed.cluster.location = "eastus".into();
        let rate = Rate { prices: Prices::load(Some(std::path::Path::new("committed"))).unwrap(), deployed };
        let check = |nodes: u64, expected: &str| {
            assert_eq!(text(&rate.now(&json!([{"name": "backend", "nodes": nodes}]))).unwrap(), expected);
        };
        // 0.0416 for the machine and 19.71 / 730 = 0.027 for its disk.
        check(1, "$0.069 an hour, $50.08 a month in eastus at these nodes");
        check(4, "$0.274 an hour, $200.31 a month in eastus at these nodes");
        check(0, "$0.000 an hour, $0.00 a month in eastus at these nodes");
    }

    #[test]
    fn what_has_no_price_says_so() {
        assert_eq!(text(&json!({"unknown": "no price of x"})).unwrap(), "not known: no price of x");
        assert_eq!(text(&Value::Null), None);
    }
}
