//! When loops follow one another, what they wait for, and for how long.

use super::super::health::STARTUP;
use super::super::{Backoff, ScaleUpRequest, quiet};
use super::*;

#[test]
fn a_loop_that_deletes_is_followed_by_two_at_once() {
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    world.at(0);
    let next = |decision: Decision| (decision.next - START).0 / 1000;
    let deleted = world.check(601, &[], &[("n0", ScaleDownReason::Empty)]);
    assert_eq!((next(deleted), next(world.at(601)), next(world.at(601))), (601, 601, 611));
}

#[test]
fn a_node_that_has_not_waited_long_enough_says_how_long_it_has() {
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    world.at(0);
    let reasons = world.at(301).report.reasons;
    assert!(reasons.iter().any(|reason| reason.text == "n0 stays: unneeded for 301 s of 600 s"), "{reasons:?}");
}

#[test]
fn nothing_turns_before_the_first_instant_that_is_waited_for() {
    let until = |change: &dyn Fn(&mut World)| {
        let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
        change(&mut world);
        let until = quiet::until(&world.profile, &world.snapshot, &world.memory);
        if until == quiet::NEVER { None } else { Some((until - START).0) }
    };
    let ago = |seconds: i64| START - Millis::from_secs(seconds);
    assert_eq!(until(&|_| {}), None);
    let unneeded = |since: i64, waits: [i64; 2]| {
        until(&|world| {
            world.profile.scale_down_unneeded_time = Millis::from_secs(waits[0]);
            world.profile.scale_down_unready_time = Millis::from_secs(waits[1]);
            world.memory.unneeded_since.insert("n0".into(), ago(since));
        })
    };
    assert_eq!(unneeded(100, [600, 1200]), Some(500_001));
    assert_eq!(unneeded(700, [600, 1200]), Some(500_001));
    assert_eq!(unneeded(1300, [600, 1200]), None);
    let tried = |ago_seconds: i64| {
        until(&|world| {
            world.memory.unremovable_until.insert("n0".into(), ago(ago_seconds));
        })
    };
    assert_eq!((tried(-30), tried(0)), (Some(30_000), None), "what turns now has turned");
    let lost = until(&|world| {
        world.profile.max_node_provision_time = Millis::from_secs(900);
        world.memory.unregistered_since.insert("n1".into(), ago(100));
    });
    assert_eq!(lost, Some(800_001));
    let request = ScaleUpRequest { increase: 1, at: START, expected: ago(-60) };
    let asked = until(&|world| {
        world.memory.scale_up_requests.insert("g".into(), request.clone());
    });
    assert_eq!(asked, Some(60_001));
    let backoff = |until_ago: i64, failed_ago: i64| {
        let (until, last_failure) = (ago(until_ago), ago(failed_ago));
        Backoff { until, seconds: 300, last_failure, reason: String::new() }
    };
    let backs_off = |one: Backoff| {
        until(&|world| {
            world.memory.backoffs.insert("g".into(), one.clone());
        })
    };
    assert_eq!(backs_off(backoff(-200, 100)), Some(200_001));
    assert_eq!(backs_off(backoff(10, 310)), Some(3 * 3_600_000 - 310_000 + 1));
    let starting = until(&|world| {
        let node = Arc::make_mut(&mut world.snapshot.nodes[0]);
        (node.ready, node.created) = (false, ago(100));
    });
    assert_eq!(starting, Some(STARTUP.0 - 100_000));
    let waiting = |created: i64, delay: i64| {
        until(&|world| {
            world.profile.new_pod_scale_up_delay = Millis::from_secs(delay);
            let waits = PodView { created: ago(created), ..pod("p", 100, None) };
            world.snapshot.pods.push(Arc::new(waits));
        })
    };
    assert_eq!(waiting(1, 45), Some(1000), "very new pods are waited for");
    assert_eq!(waiting(10, 45), Some(35_001));
    assert_eq!(waiting(60, 45), None);
}

#[test]
fn a_pod_is_helped_once_it_is_older_than_the_delay() {
    let mut world = World::new(vec![group("g", &[])], &[], vec![PodView { created: START, ..pod("p", 900, None) }]);
    world.profile.new_pod_scale_up_delay = Millis::from_secs(45);
    world.check(45, &[], &[]);
    world.snapshot.now = START + Millis(45_001);
    let decision = decide(&world.profile, &world.snapshot, &mut world.memory);
    assert_eq!(decision.scale_ups.len(), 1);
}

/// A group that was asked for so many nodes and has none of them yet.
fn requested(increase: i32) -> World {
    let mut world = World::new(vec![group("g", &[])], &[], Vec::new());
    let request = ScaleUpRequest { increase, at: START, expected: START + Millis::from_secs(900) };
    world.memory.scale_up_requests.insert("g".into(), request);
    world.group(0).target_size = increase;
    world
}

#[test]
fn instances_that_could_not_be_made_are_no_longer_expected() {
    let mut world = requested(3);
    let error = InstanceError { out_of_resources: true, code: "Quota".into(), message: "no cores".into() };
    let instance = |number: usize, error: Option<&InstanceError>| InstanceView {
        name: format!("g-{number}"),
        state: InstanceState::Creating,
        error: error.cloned(),
    };
    world.group(0).instances = vec![instance(0, Some(&error)), instance(1, None), instance(2, None)];
    world.at(10);
    assert_eq!(world.memory.scale_up_requests["g"].increase, 2);
    assert_eq!(world.memory.backoffs["g"].reason, "Quota: no cores");
}

#[test]
fn a_request_whose_time_is_up_says_how_long_it_has_waited() {
    let mut world = requested(1);
    world.at(900);
    assert!(world.memory.backoffs.is_empty());
    world.at(910);
    assert_eq!(world.memory.backoffs["g"].reason, "Scale-up timed out for node group g after 910s");
}
