//! `hpa::quick` against `hpa::decide`, sync by sync on random workloads.

use std::collections::BTreeMap;

use decide::hpa::quick::{Counts, MOST_METRICS, Quick, Streak, Verdict};
use decide::hpa::view::{
    Behavior, ConditionStatus, ContainerRequests, ContainerUsage, MetricSpec, Metrics, ObjectReference, Phase, Pod,
    PodMetrics, Policy, PolicyKind, ReadyCondition, Rules, Scale, SelectPolicy, Settings, Snapshot, Spec, Target,
};
use decide::hpa::{Memory, decide, status::Status};
use proptest::prelude::*;
use units::{Millis, Timestamp};

const REQUEST_MILLI: i64 = 500;
/// Of memory, and what it is compared with: another resource with its own request.
const MEMORY_REQUEST_MILLI: i64 = 800;
const SYNC_PERIOD: Millis = Millis::from_secs(15);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ready,
    /// It does not run yet.
    Waiting,
    Missing,
}

#[derive(Clone, Debug)]
struct Sync {
    /// With the CPU and the memory that each uses.
    pods: Vec<(Kind, i64, i64)>,
    current: i32,
}

/// With a memory metric beside the one of CPU where `memory` says at what utilization.
fn spec(percent: i32, average: bool, memory: Option<i32>, behavior: Option<Behavior>) -> Spec {
    let target = if average {
        Target {
            kind: "AverageValue".into(),
            average_value: Some(units::Quantity::from_millis(350)),
            ..Target::default()
        }
    } else {
        utilization(percent)
    };
    let resource = |resource: &str, target| MetricSpec::Resource { resource: resource.into(), target };
    let memory = memory.map(|percent| resource("memory", utilization(percent)));
    Spec {
        target: ObjectReference { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        min_replicas: Some(2),
        max_replicas: 10,
        metrics: [resource("cpu", target)].into_iter().chain(memory).collect(),
        behavior,
    }
}

fn utilization(percent: i32) -> Target {
    Target { kind: "Utilization".into(), average_utilization: Some(percent), ..Target::default() }
}

fn requests() -> BTreeMap<String, i64> {
    BTreeMap::from([("cpu".to_owned(), REQUEST_MILLI), ("memory".to_owned(), MEMORY_REQUEST_MILLI)])
}

fn snapshot(spec: &Spec, sync: &Sync, now: Timestamp) -> Snapshot {
    let long_ago = Timestamp(0) - Millis::from_secs(86_400);
    let name = |index: usize| format!("web-{index}");
    let pod = |(index, (kind, ..)): (usize, &(Kind, i64, i64))| Pod {
        name: name(index),
        phase: if matches!(kind, Kind::Waiting) { Phase::Pending } else { Phase::Running },
        deleting: false,
        start_time: Some(long_ago),
        ready: Some(ReadyCondition { status: ConditionStatus::True, last_transition: long_ago }),
        containers: vec![ContainerRequests { name: "c".into(), requests_milli: requests() }],
        pod_requests: None,
    };
    let metrics = |(index, (kind, cpu, memory)): (usize, &(Kind, i64, i64))| {
        matches!(kind, Kind::Ready).then(|| PodMetrics {
            pod: name(index),
            at: now,
            window: Millis::from_secs(15),
            containers: vec![ContainerUsage {
                name: "c".into(),
                usage_milli: [("cpu".to_owned(), *cpu), ("memory".to_owned(), *memory)].into(),
            }],
        })
    };
    Snapshot {
        now,
        namespace: "d".into(),
        name: "web".into(),
        spec: spec.clone(),
        status: Status::default(),
        scale: Ok(Scale {
            spec_replicas: sync.current,
            status_replicas: sync.current,
            selector: "app=web".into(),
            selector_error: None,
        }),
        pods: sync.pods.iter().enumerate().map(pod).collect(),
        selecting_autoscalers: vec!["d/web".into()],
        metrics: Metrics {
            resource: Some(Ok(sync.pods.iter().enumerate().filter_map(metrics).collect())),
            ..Metrics::default()
        },
    }
}

fn counts(sync: &Sync) -> [Counts; MOST_METRICS] {
    let mut counts = [Counts::default(); MOST_METRICS];
    for (kind, cpu, memory) in &sync.pods {
        for (counts, used) in counts.iter_mut().zip([cpu, memory]) {
            match kind {
                Kind::Ready => {
                    counts.ready += 1;
                    counts.used_milli += used;
                }
                Kind::Waiting => counts.unready += 1,
                Kind::Missing => counts.missing += 1,
            }
        }
    }
    counts
}

/// The counts as [`Quick`] is asked for them: nothing for a metric that it does not have.
fn asked(quick: &Quick, sync: &Sync) -> [Counts; MOST_METRICS] {
    let mut counts = counts(sync);
    counts[quick.resources().count()..].fill(Counts::default());
    counts
}

/// The same syncs by both; the number follows `decide`.
fn check(spec: &Spec, syncs: &[Sync]) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let quick = Quick::new(&settings, spec, &requests()).unwrap();
    let (mut memory, mut streak) = (Memory::default(), Streak::default());
    for (number, sync) in syncs.iter().enumerate() {
        let now = Timestamp(SYNC_PERIOD.0 * (number as i64 + 1));
        let mut guessed = memory.clone();
        let counts = asked(&quick, sync);
        let verdict = quick.sync(&settings, sync.current, &counts, (&mut guessed, &mut streak), now);
        let before = memory.clone();
        let decision = decide(&settings, &snapshot(spec, sync, now), &mut memory);
        match verdict {
            Verdict::Stays => {
                prop_assert!(decision.rescale.is_none() && decision.error.is_none(), "{sync:?}: {decision:?}");
                prop_assert_eq!(&guessed, &memory);
                check_repeats(&quick, &settings, sync, (&memory, &streak), now)?;
            }
            Verdict::AskDecide => {
                prop_assert_eq!(&guessed, &before);
                let certain = !before.recommendations.is_empty() && counts[0].ready > 0;
                prop_assert!(decision.rescale.is_some() || !certain, "{sync:?} changes nothing: {decision:?}");
            }
        }
    }
    Ok(())
}

/// The syncs that are said to be like the last one are, and leave what as many single ones leave.
fn check_repeats(
    quick: &Quick,
    settings: &Settings,
    sync: &Sync,
    (memory, streak): (&Memory, &Streak),
    last: Timestamp,
) -> Result<(), TestCaseError> {
    let (first, before, counts) = (last + SYNC_PERIOD, last + Millis::from_secs(600), asked(quick, sync));
    let times = quick.repeats(sync.current, &counts, (memory, streak), (first, SYNC_PERIOD, before));
    prop_assert!((0..=39).contains(&times), "{times} syncs in less than ten minutes");
    let (mut at_once, mut its_streak) = (memory.clone(), *streak);
    quick.repeat(settings, (&mut at_once, &mut its_streak), (first, SYNC_PERIOD, times));
    let (mut one_by_one, mut its_own) = (memory.clone(), *streak);
    for number in 0..times {
        let now = Timestamp(first.0 + number * SYNC_PERIOD.0);
        let verdict = quick.sync(settings, sync.current, &counts, (&mut one_by_one, &mut its_own), now);
        prop_assert_eq!(verdict, Verdict::Stays);
    }
    prop_assert_eq!(at_once, one_by_one);
    prop_assert_eq!(its_streak, its_own);
    Ok(())
}

fn sync() -> impl Strategy<Value = Sync> {
    let kind = prop_oneof![6 => Just(Kind::Ready), 1 => Just(Kind::Waiting), 1 => Just(Kind::Missing)];
    // Around the target of 350 and its tolerance, and far from it.
    let used = prop_oneof![300_i64..400, 0_i64..2000];
    let memory = prop_oneof![450_i64..600, 0_i64..1600];
    (prop::collection::vec((kind, used, memory), 1..11), 1_i32..12).prop_map(|(pods, current)| Sync { pods, current })
}

fn behavior() -> impl Strategy<Value = Option<Behavior>> {
    let policy = (any::<bool>(), 1_i32..200, 15_i64..120).prop_map(|(percent, value, period)| Policy {
        kind: if percent { PolicyKind::Percent } else { PolicyKind::Pods },
        value,
        period: Millis::from_secs(period),
    });
    let select = prop_oneof![Just(SelectPolicy::Max), Just(SelectPolicy::Min), Just(SelectPolicy::Disabled)];
    let tolerance = prop_oneof![Just(None), (0.0..0.5).prop_map(Some)];
    let rules = (0_i64..300, select, prop::collection::vec(policy, 1..3), tolerance).prop_map(
        |(window, select_policy, policies, tolerance)| Rules {
            stabilization_window: Some(Millis::from_secs(window)),
            select_policy,
            policies,
            tolerance,
        },
    );
    let both = (rules.clone(), rules).prop_map(|(scale_up, scale_down)| Some(Behavior { scale_up, scale_down }));
    prop_oneof![Just(None), both]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_quick_says_is_what_decide_does(
        percent in 40_i32..95,
        average in any::<bool>(),
        memory in prop::option::of(50_i32..90),
        behavior in behavior(),
        syncs in prop::collection::vec((sync(), prop_oneof![Just(1_usize), 1_usize..30]), 1..20),
    ) {
        let syncs: Vec<Sync> = syncs.into_iter().flat_map(|(sync, times)| vec![sync; times]).collect();
        check(&spec(percent, average, memory, behavior), &syncs)?;
    }
}

/// Everything as wanted, sync after sync.
fn settled(now: Timestamp) -> (Quick, Settings, Sync, Memory, Streak) {
    let settings = Settings::default();
    let quick = Quick::new(&settings, &spec(70, false, None, None), &requests()).unwrap();
    let sync = Sync { pods: vec![(Kind::Ready, 350, 500); 3], current: 3 };
    let (mut memory, mut streak) = (Memory::default(), Streak::default());
    decide(&settings, &snapshot(&spec(70, false, None, None), &sync, now - SYNC_PERIOD), &mut memory);
    let verdict = quick.sync(&settings, 3, &asked(&quick, &sync), (&mut memory, &mut streak), now);
    assert_eq!(verdict, Verdict::Stays);
    (quick, settings, sync, memory, streak)
}

#[test]
fn syncs_are_counted_up_to_but_not_at_the_end() {
    let now = Timestamp::from_secs(1000);
    let (quick, _, sync, memory, streak) = settled(now);
    let counts = asked(&quick, &sync);
    let repeats = |first: i64, every: i64, before: i64| {
        let span = (Timestamp::from_secs(first), Millis::from_secs(every), Timestamp::from_secs(before));
        quick.repeats(3, &counts, (&memory, &streak), span)
    };
    assert_eq!(repeats(1015, 15, 1060), 3);
    assert_eq!(repeats(1015, 15, 1061), 4);
    assert_eq!(repeats(1015, 15, 1015), 0);
    assert_eq!(repeats(1015, 15, 1016), 1);
    assert_eq!(repeats(1015, 0, 1060), 0, "without an interval nothing can be counted");
}

#[test]
fn syncs_under_other_circumstances_are_no_repetition() {
    let now = Timestamp::from_secs(1000);
    let (quick, _, sync, memory, streak) = settled(now);
    let counts = asked(&quick, &sync);
    let span = (now + SYNC_PERIOD, SYNC_PERIOD, now + Millis::from_secs(60));
    assert_eq!(quick.repeats(4, &counts, (&memory, &streak), span), 0, "another number of replicas");
    let mut busier = counts;
    busier[0].used_milli += 1;
    assert_eq!(quick.repeats(3, &busier, (&memory, &streak), span), 0, "another load");
    assert_eq!(quick.repeats(3, &counts, (&Memory::default(), &streak), span), 0, "another memory");
}

#[test]
fn what_it_does_not_cover_is_refused() {
    let settings = Settings::default();
    let with = |metrics: Vec<MetricSpec>, requests: &BTreeMap<String, i64>| {
        Quick::new(&settings, &Spec { metrics, ..spec(70, false, None, None) }, requests).is_some()
    };
    let cpu = |target| MetricSpec::Resource { resource: "cpu".into(), target };
    assert!(with(vec![cpu(utilization(70))], &requests()));
    assert!(!with(vec![cpu(utilization(70))], &BTreeMap::new()), "nothing is requested");
    assert!(!with(vec![cpu(utilization(70))], &BTreeMap::from([("cpu".to_owned(), 0)])), "nothing is requested");
    assert!(!with(vec![cpu(Target::default())], &requests()), "no target");
    assert!(!with(Vec::new(), &requests()), "no metric");
    assert!(!with(vec![cpu(utilization(70)); MOST_METRICS + 1], &requests()), "more metrics than it keeps counts of");
}

/// After a sync at 1000 s at which all was as wanted, each of three pods uses something else: how many syncs from 1030 s on are
/// like the one at 1015 s, which leaves the number as it is.
fn repeats_of_a_held_wish(spec: &Spec, used: i64) -> i64 {
    let now = Timestamp::from_secs(1000);
    let settings = Settings::default();
    let quick = Quick::new(&settings, spec, &requests()).unwrap();
    let (mut memory, mut streak) = (Memory::default(), Streak::default());
    let as_wanted = Sync { pods: vec![(Kind::Ready, 350, 0); 3], current: 3 };
    decide(&settings, &snapshot(spec, &as_wanted, now), &mut memory);
    let other = Sync { pods: vec![(Kind::Ready, used, 0); 3], current: 3 };
    let counts = asked(&quick, &other);
    let verdict = quick.sync(&settings, 3, &counts, (&mut memory, &mut streak), now + SYNC_PERIOD);
    assert_eq!(verdict, Verdict::Stays, "at {used}");
    let span = (now + Millis::from_secs(30), SYNC_PERIOD, now + Millis::from_secs(3600));
    quick.repeats(3, &counts, (&memory, &streak), span)
}

#[test]
fn a_wish_that_is_held_back_repeats_until_its_window_ends() {
    let policies = vec![Policy { kind: PolicyKind::Pods, value: 4, period: Millis::from_secs(60) }];
    let window = Some(Millis::from_secs(60));
    let rules = Rules { stabilization_window: window, select_policy: SelectPolicy::Max, policies, tolerance: None };
    let spec = spec(70, false, None, Some(Behavior { scale_up: rules.clone(), scale_down: rules }));
    for used in [480, 100] {
        // The wish at 1000 s counts until 1060 s: the syncs at 1030 and 1045 s are like this one.
        assert_eq!(repeats_of_a_held_wish(&spec, used), 2, "at {used}");
    }
}

#[test]
fn without_rules_a_lower_wish_is_held_back_for_five_minutes() {
    // The wish at 1000 s counts until 1300 s.
    assert_eq!(repeats_of_a_held_wish(&spec(70, false, None, None), 100), 18);
}

#[test]
fn wishes_outside_every_window_are_dropped() {
    let now = Timestamp::from_secs(1000);
    let (quick, settings, sync, mut memory, mut streak) = settled(now);
    let counts = asked(&quick, &sync);
    for number in 1..1000 {
        let now = Timestamp(now.0 + number * SYNC_PERIOD.0);
        quick.sync(&settings, 3, &counts, (&mut memory, &mut streak), now);
        assert!(memory.recommendations.len() <= 44, "{} after {number} syncs", memory.recommendations.len());
        let oldest = memory.recommendations[0].at;
        let cutoff = now - settings.downscale_stabilization;
        assert!(number < 20 || oldest <= cutoff, "those within the window are all there after {number} syncs");
    }
}
