//! `hpa::quick` against `hpa::decide`, sync by sync on random workloads.

use std::collections::BTreeMap;

use decide::hpa::quick::{Counts, Quick, Streak, Verdict};
use decide::hpa::view::{
    Behavior, ConditionStatus, ContainerRequests, ContainerUsage, MetricSpec, Metrics, ObjectReference, Phase, Pod,
    PodMetrics, Policy, PolicyKind, ReadyCondition, Rules, Scale, SelectPolicy, Settings, Snapshot, Spec, Target,
};
use decide::hpa::{Memory, decide, status::Status};
use proptest::prelude::*;
use units::{Millis, Timestamp};

const REQUEST_MILLI: i64 = 500;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ready,
    /// It does not run yet.
    Waiting,
    Missing,
}

#[derive(Clone, Debug)]
struct Sync {
    pods: Vec<(Kind, i64)>,
    current: i32,
}

fn spec(percent: i32, average: bool, behavior: Option<Behavior>) -> Spec {
    let target = if average {
        Target {
            kind: "AverageValue".into(),
            average_value: Some(units::Quantity::from_millis(350)),
            ..Target::default()
        }
    } else {
        Target { kind: "Utilization".into(), average_utilization: Some(percent), ..Target::default() }
    };
    Spec {
        target: ObjectReference { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        min_replicas: Some(2),
        max_replicas: 10,
        metrics: vec![MetricSpec::Resource { resource: "cpu".into(), target }],
        behavior,
    }
}

fn snapshot(spec: &Spec, sync: &Sync, now: Timestamp) -> Snapshot {
    let long_ago = Timestamp(0) - Millis::from_secs(86_400);
    let name = |index: usize| format!("web-{index}");
    let pod = |(index, (kind, _)): (usize, &(Kind, i64))| Pod {
        name: name(index),
        phase: if matches!(kind, Kind::Waiting) { Phase::Pending } else { Phase::Running },
        deleting: false,
        start_time: Some(long_ago),
        ready: Some(ReadyCondition { status: ConditionStatus::True, last_transition: long_ago }),
        containers: vec![ContainerRequests {
            name: "c".into(),
            requests_milli: [("cpu".to_owned(), REQUEST_MILLI)].into(),
        }],
        pod_requests: None,
    };
    let metrics = |(index, (kind, used)): (usize, &(Kind, i64))| {
        matches!(kind, Kind::Ready).then(|| PodMetrics {
            pod: name(index),
            at: now,
            window: Millis::from_secs(15),
            containers: vec![ContainerUsage { name: "c".into(), usage_milli: [("cpu".to_owned(), *used)].into() }],
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

fn counts(sync: &Sync) -> Counts {
    let mut counts = Counts::default();
    for (kind, used) in &sync.pods {
        match kind {
            Kind::Ready => {
                counts.ready += 1;
                counts.used_milli += used;
            }
            Kind::Waiting => counts.unready += 1,
            Kind::Missing => counts.missing += 1,
        }
    }
    counts
}

/// The same syncs by both; the number follows `decide`.
fn check(spec: &Spec, syncs: &[Sync]) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let quick = Quick::new(&settings, spec, &BTreeMap::from([("cpu".to_owned(), REQUEST_MILLI)])).unwrap();
    let (mut memory, mut streak) = (Memory::default(), Streak::default());
    for (number, sync) in syncs.iter().enumerate() {
        let now = Timestamp::from_secs(15 * (number as i64 + 1));
        let mut guessed = memory.clone();
        let verdict =
            quick.sync(&settings, sync.current, &[counts(sync), Counts::default()], (&mut guessed, &mut streak), now);
        let before = memory.clone();
        let decision = decide(&settings, &snapshot(spec, sync, now), &mut memory);
        match verdict {
            Verdict::Stays => {
                prop_assert!(decision.rescale.is_none() && decision.error.is_none(), "{sync:?}: {decision:?}");
                prop_assert_eq!(&guessed, &memory);
            }
            Verdict::AskDecide => {
                prop_assert_eq!(&guessed, &before);
                let certain = !before.recommendations.is_empty() && counts(sync).ready > 0;
                prop_assert!(decision.rescale.is_some() || !certain, "{sync:?} changes nothing: {decision:?}");
            }
        }
    }
    Ok(())
}

fn sync() -> impl Strategy<Value = Sync> {
    let kind = prop_oneof![6 => Just(Kind::Ready), 1 => Just(Kind::Waiting), 1 => Just(Kind::Missing)];
    // Around the target of 350 and its tolerance, and far from it.
    let used = prop_oneof![300_i64..400, 0_i64..2000];
    (prop::collection::vec((kind, used), 1..11), 1_i32..12).prop_map(|(pods, current)| Sync { pods, current })
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
        behavior in behavior(),
        syncs in prop::collection::vec((sync(), prop_oneof![Just(1_usize), 1_usize..30]), 1..20),
    ) {
        let syncs: Vec<Sync> = syncs.into_iter().flat_map(|(sync, times)| vec![sync; times]).collect();
        check(&spec(percent, average, behavior), &syncs)?;
    }
}
