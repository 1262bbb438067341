//! Bills worked out by hand, and what a bill refuses.

use std::collections::BTreeMap;

use platform::{Cluster, Database, Network, Platform, Pool, PublicService, Scaling};
use price::{Confidence, Consumption, MONTH, Meter, NodeTime, PriceSheet, Stack, Traffic, Usage, bill};
use proptest::prelude::*;
use units::{Millis, Money};

const HOUR: Millis = Millis::from_secs(3600);

fn hours(count: i64) -> Millis {
    Millis(count * HOUR.0)
}

fn pool(name: &str, scaling: Scaling) -> Pool {
    Pool {
        name: name.into(),
        vm_size: "Standard_B2s".into(),
        system: name == "systempool",
        scaling,
        max_pods: None,
        labels: BTreeMap::new(),
        taints: Vec::new(),
        os_disk_gib: None,
        subnet: None,
        surge: 1,
    }
}

fn seed() -> Platform {
    Platform {
        cluster: Cluster {
            name: "marea".into(),
            tier: "Free".into(),
            outbound_type: Some("loadBalancer".into()),
            ..Cluster::default()
        },
        pools: vec![
            pool("systempool", Scaling::Fixed(1)),
            pool("frontend", Scaling::Between { min: 1, max: 3 }),
            pool("backend", Scaling::Between { min: 1, max: 5 }),
        ],
        public_services: vec![PublicService { namespace: "ingress".into(), name: "traefik".into(), ports: 1 }],
        database: Some(Database { size: "Standard_B1ms".into(), storage_gib: Some(32), ..Database::default() }),
        network: Network {
            private_dns_zones: vec!["marea.private.postgres.database.azure.com".into()],
            peerings: vec!["marea/to-db".into(), "db/to-cluster".into()],
            ..Network::default()
        },
        ..Platform::default()
    }
}

fn total(platform: &Platform, consumption: &Consumption, region: &str) -> Result<Money, String> {
    let usage = Usage::of(platform, consumption).map_err(|error| error.to_string())?;
    bill(&usage, PriceSheet::committed().unwrap(), region).map(|bill| bill.total()).map_err(|error| error.to_string())
}

/// A week in eastus: the backend has one node, and from the tenth to the thirteenth hour four.
///
/// ```text
/// nodes     168 + 168 + (168 + 3 × 3) = 513 h × 0.0416                  21.3408
/// OS disks  513 h × 19.71 ⁄ 730 (0.027 an hour)                         13.8510
/// balancer  168 h × 0.025; its two rules are among the five included     4.2000
/// addresses outbound and ingress, 168 h × 0.005 each                     1.6800
/// data      300 GB × 0.005                                               1.5000
/// internet  (250 − 100) GB × 0.087                                      13.0500
/// compute   168 h × 0.017                                                2.8560
/// storage   32 GiB × 0.115 × 168 ⁄ 730                                   0.846904
/// backup    10 GiB × 0.095 × 168 ⁄ 730                                   0.218630
/// zone      0.50 × 168 ⁄ 730                                             0.115068
/// queries   2 million × 0.40                                             0.8000
/// peering   50 GB × 0.01, in and out                                     1.0000
/// ```
#[test]
fn a_bill_worked_out_by_hand_agrees() {
    let week = hours(168);
    let steps = [(Millis::ZERO, 1), (hours(10), 4), (hours(13), 1)];
    let consumption = Consumption {
        period: week,
        node_time: [
            ("systempool".to_owned(), NodeTime::steady(1, week)),
            ("frontend".to_owned(), NodeTime::steady(1, week)),
            ("backend".to_owned(), NodeTime::of_steps(&steps, week)),
        ]
        .into(),
        traffic: Traffic {
            load_balancer_bytes: 300_000_000_000,
            egress_bytes: 250_000_000_000,
            database_bytes: 50_000_000_000,
            dns_queries: 2_000_000,
        },
        backup_gib_beyond_storage: 10,
    };
    let usage = Usage::of(&seed(), &consumption).unwrap();
    let bill = bill(&usage, PriceSheet::committed().unwrap(), "eastus").unwrap();
    let by_meter: Vec<(Meter, i64)> = bill.by_meter().into_iter().map(|(meter, cost)| (meter, cost.micros())).collect();
    assert_eq!(
        by_meter,
        [
            (Meter::Vm, 21_340_800),
            (Meter::OsDisk, 13_851_000),
            (Meter::ControlPlane, 0),
            (Meter::LoadBalancer, 4_200_000),
            (Meter::LoadBalancerData, 1_500_000),
            (Meter::PublicIp, 1_680_000),
            (Meter::DatabaseCompute, 2_856_000),
            (Meter::DatabaseStorage, 846_904),
            (Meter::DatabaseBackup, 218_630),
            (Meter::PrivateDnsZone, 115_068),
            (Meter::PrivateDnsQueries, 800_000),
            (Meter::Egress, 13_050_000),
            (Meter::PeeringData, 1_000_000),
        ]
    );
    assert_eq!(bill.total().to_string(), "61.46");
    let by_stack: Vec<String> = bill.by_stack().values().map(Money::to_string).collect();
    assert_eq!(by_stack, ["40.23", "5.84", "15.39"], "base, db, deploy");
    assert_eq!(bill.by_confidence().values().copied().sum::<Money>(), bill.total());
}

fn check_month(region: &str, floor: &str, ceiling: &str) {
    let platform = seed();
    let low = total(&platform, &Consumption::floor(&platform), region).unwrap();
    let high = total(&platform, &Consumption::ceiling(&platform), region).unwrap();
    assert_eq!((low.to_string().as_str(), high.to_string().as_str()), (floor, ceiling), "{region}");
}

/// eastus: 3 to 9 nodes of 30.368 and disks of 19.71, 18.25 + 2 × 3.65 for the edge, 12.41 + 3.68 + 0.50 for the database.
#[test]
fn the_platform_s_floor_and_ceiling() {
    check_month("eastus", "192.37", "492.84");
    // 3 to 9 nodes of 35.04, all else at eastus's prices.
    check_month("westeurope", "206.39", "534.89");
}

#[test]
fn what_the_sheet_lacks_is_named_with_what_it_has() {
    let mut platform = seed();
    let floor = Consumption::floor(&platform);
    let error = total(&platform, &floor, "moonbase").unwrap_err();
    assert!(error.contains("no prices for the region `moonbase`") && error.contains("eastus"), "{error}");
    platform.pools[1].vm_size = "Standard_D4as_v6".into();
    platform.pools[1].os_disk_gib = Some(300);
    let error = total(&platform, &floor, "eastus").unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].contains("meter vm for `Standard_D4as_v6` in eastus; it has Standard_B1ms"), "{error}");
    assert!(lines[1].contains("meter os-disk for `P20` in eastus; it has P10, P4"), "{error}");
}

#[test]
fn names_are_compared_as_azure_does() {
    let platform = seed();
    let floor = Consumption::floor(&platform);
    assert_eq!(total(&platform, &floor, "EastUS"), total(&platform, &floor, "eastus"));
}

#[test]
fn a_consumption_must_fit_its_platform() {
    let platform = seed();
    let check = |change: &dyn Fn(&mut Consumption, &mut Platform), expected: &str| {
        let (mut consumption, mut platform) = (Consumption::floor(&platform), platform.clone());
        change(&mut consumption, &mut platform);
        let error = total(&platform, &consumption, "eastus").unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(
        &|consumption, _| consumption.node_time.extend([("gpu".to_owned(), NodeTime(1))]),
        "`gpu` are to be billed, which the platform does not have; its pools are systempool, frontend, backend",
    );
    check(
        &|consumption, _| consumption.node_time.retain(|pool, _| pool != "backend"),
        "nodes of the pool `backend` existed",
    );
    check(&|consumption, _| consumption.period = Millis::ZERO, "not longer than nothing");
    check(&|_, platform| platform.cluster.outbound_type = Some("managedNATGateway".into()), "`managedNATGateway`");
    check(&|_, platform| platform.pools[0].os_disk_gib = Some(40_000), "OS disks of 40000 GiB");
    check(
        &|_, platform| platform.pools[0].vm_size = "Standard_Foo".into(),
        "`Standard_Foo`, which marea does not know",
    );
}

#[test]
fn rules_beyond_the_fifth_and_paid_tiers_cost() {
    let mut platform = seed();
    let floor = Consumption::floor(&platform);
    let before = total(&platform, &floor, "eastus").unwrap();
    platform.public_services[0].ports = 6;
    let rules = total(&platform, &floor, "eastus").unwrap();
    assert_eq!((rules - before).to_string(), "14.60", "one outbound rule and six ports: two beyond five, 7.30 each");
    platform.cluster.tier = "Standard".into();
    assert_eq!((total(&platform, &floor, "eastus").unwrap() - rules).to_string(), "73.00");
}

#[test]
fn graduated_prices_count_by_the_month() {
    let platform = seed();
    let check = |period: Millis, gigabytes: u64, expected: &str| {
        let mut consumption = Consumption::floor(&platform);
        consumption.period = period;
        consumption.traffic.egress_bytes = gigabytes * 1_000_000_000;
        let usage = Usage::of(&platform, &consumption).unwrap();
        let bill = bill(&usage, PriceSheet::committed().unwrap(), "eastus").unwrap();
        let egress = bill.by_meter().get(&Meter::Egress).copied().unwrap_or_default();
        assert_eq!(egress.to_string(), expected, "{gigabytes} GB in {period:?}");
    };
    check(MONTH, 100, "0.00");
    check(MONTH, 101, "0.09");
    check(hours(24), 300, "17.40");
    check(hours(1460), 300, "8.70");
}

#[test]
fn assumed_prices_are_told_apart() {
    let platform = seed();
    let usage = Usage::of(&platform, &Consumption::floor(&platform)).unwrap();
    let sheet = PriceSheet::committed().unwrap();
    let confidence = |region: &str| bill(&usage, sheet, region).unwrap().by_confidence();
    assert!(!confidence("eastus").contains_key(&Confidence::Assumed));
    assert!(confidence("westeurope")[&Confidence::Assumed] > Money::ZERO);
}

proptest! {
    /// Every price but the graduated one is in proportion to the use, and stacks and meters are two cuts of one total.
    #[test]
    fn bills_add_up(nodes in 0_u32..50, days in 1_i64..60, factor in 1_i64..5) {
        let platform = seed();
        let period = hours(24 * days);
        let mut consumption = Consumption::steady_month(&platform, |_| 0);
        consumption.period = period;
        for time in consumption.node_time.values_mut() {
            *time = NodeTime::steady(nodes, period);
        }
        let usage = Usage::of(&platform, &consumption).unwrap();
        let sheet = PriceSheet::committed().unwrap();
        let once = bill(&usage, sheet, "eastus").unwrap();
        prop_assert_eq!(once.by_stack().values().copied().sum::<Money>(), once.total());
        prop_assert_eq!(once.by_meter().values().copied().sum::<Money>(), once.total());
        let scaled = bill(&usage.scaled_to(Millis(period.0 * factor)), sheet, "eastus").unwrap();
        let difference = scaled.total().micros() - factor * once.total().micros();
        prop_assert!(difference.abs() <= factor * once.lines.len() as i64, "{difference}");
        prop_assert!(once.by_stack().keys().all(|stack| Stack::ALL.contains(stack)));
    }
}
