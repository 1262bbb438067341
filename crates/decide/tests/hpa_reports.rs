//! What a sync says beside its number: errors, conditions and the reasons of its report, word for word where upstream has words
//! (pkg/controller/podautoscaler/horizontal.go of 1.36).

use decide::hpa::view::{
    ConditionStatus, ContainerRequests, ContainerUsage, MetricIdentifier, MetricSpec, Metrics, ObjectReference, Phase,
    Pod, PodMetrics, PodSample, ReadyCondition, Scale, Settings, Snapshot, Spec, Target,
};
use decide::hpa::{Decision, Memory, decide, status::Status};
use serde_json::json;
use units::{Millis, Quantity, Timestamp};

const START: Timestamp = Timestamp::from_secs(10_000);

fn cpu() -> MetricSpec {
    let target = Target { kind: "Utilization".into(), average_utilization: Some(70), ..Target::default() };
    MetricSpec::Resource { resource: "cpu".into(), target }
}

/// A queue of which each replica is to have ten entries.
fn queue() -> MetricSpec {
    let average = Quantity::from_millis(10_000);
    let target = Target { kind: "AverageValue".into(), average_value: Some(average), ..Target::default() };
    MetricSpec::External { metric: MetricIdentifier { name: "queue".into(), selector: None }, target }
}

/// A pod that has been ready for a day and asks for half a core.
fn pod(name: &str) -> Pod {
    let long_ago = START - Millis::from_secs(86_400);
    let requests_milli = [("cpu".to_owned(), 500)].into();
    Pod {
        name: name.into(),
        phase: Phase::Running,
        deleting: false,
        start_time: Some(long_ago),
        ready: Some(ReadyCondition { status: ConditionStatus::True, last_transition: long_ago }),
        containers: vec![ContainerRequests { name: "c".into(), requests_milli }],
        pod_requests: None,
    }
}

fn usage(name: &str, cpu_milli: Option<i64>, at: Timestamp) -> PodMetrics {
    let container = |used| ContainerUsage { name: "c".into(), usage_milli: [("cpu".to_owned(), used)].into() };
    let containers = cpu_milli.map(container).into_iter().collect();
    PodMetrics { pod: name.into(), at, window: Millis::from_secs(15), containers }
}

/// An autoscaler of one to ten replicas and two pods that use so many thousandths of a core; none is a pod without containers.
fn snapshot(metric: MetricSpec, used: [Option<i64>; 2], seconds: i64) -> Snapshot {
    let now = START + Millis::from_secs(seconds);
    let names = ["web-0", "web-1"];
    let scale = Scale { spec_replicas: 2, status_replicas: 2, selector: "app=web".into(), selector_error: None };
    Snapshot {
        now,
        namespace: "d".into(),
        name: "web".into(),
        spec: Spec {
            target: ObjectReference { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
            min_replicas: Some(1),
            max_replicas: 10,
            metrics: vec![metric],
            behavior: None,
        },
        status: Status::default(),
        scale: Ok(scale),
        pods: names.map(pod).into(),
        selecting_autoscalers: vec!["d/web".into()],
        metrics: Metrics {
            resource: Some(Ok(names.iter().zip(used).map(|(name, used)| usage(name, used, now)).collect())),
            ..Metrics::default()
        },
    }
}

fn condition<'a>(decision: &'a Decision, kind: &str) -> Option<(ConditionStatus, &'a str)> {
    decision.status.condition(kind).map(|condition| (condition.status, condition.reason.as_str()))
}

#[test]
fn a_target_that_cannot_be_read_is_said_everywhere() {
    let mut unreadable = snapshot(cpu(), [Some(350); 2], 0);
    unreadable.scale = Err("deployments.apps \"web\" not found".into());
    let decision = decide(&Settings::default(), &unreadable, &mut Memory::default());
    assert_eq!(decision.rescale, None);
    assert_eq!(
        decision.error.as_deref(),
        Some("failed to query scale subresource for Deployment/d/web: deployments.apps \"web\" not found")
    );
    assert_eq!(decision.report.summary, "cannot read the target's scale: deployments.apps \"web\" not found");
    assert_eq!(decision.report.reasons[0].rule, "hpa.no-scale");
    assert_eq!(condition(&decision, "AbleToScale"), Some((ConditionStatus::False, "FailedGetScale")));
    assert!(decision.events.iter().any(|event| event.warning && event.reason == "FailedGetScale"));
}

#[test]
fn the_report_says_what_stabilisation_holds_and_since_when() {
    let settings = Settings::default();
    let mut memory = Memory::default();
    let busy = decide(&settings, &snapshot(cpu(), [Some(350); 2], 0), &mut memory);
    assert!(busy.rescale.is_none() && busy.report.reasons.iter().all(|reason| reason.rule != "hpa.stabilized"));
    decide(&settings, &snapshot(cpu(), [Some(350); 2], 15), &mut memory);
    let idle = decide(&settings, &snapshot(cpu(), [Some(50); 2], 30), &mut memory);
    assert_eq!((idle.rescale.as_ref(), idle.report.summary.as_str()), (None, "stays at 2 replicas"));
    let held = idle.report.reasons.iter().find(|reason| reason.rule == "hpa.stabilized").unwrap();
    assert!(held.text.starts_with("2 instead of 1: "), "{}", held.text);
    let since = (START + Millis::from_secs(15)).rfc3339_micros();
    assert_eq!(json!(held.inputs), json!({"desired": 1, "stabilized": 2, "since": since}));
    // A wish counts for five minutes from when it was last uttered, that instant included.
    for (seconds, expected) in [(315, None), (316, Some(1))] {
        let decision = decide(&settings, &snapshot(cpu(), [Some(50); 2], seconds), &mut memory.clone());
        assert_eq!(decision.rescale.map(|rescale| rescale.to), expected, "after {seconds} s");
    }
}

#[test]
fn a_pod_whose_metrics_name_no_container_is_missing_and_not_idle() {
    // A missing pod counts as fully used before the number goes down.
    let settings = Settings { downscale_stabilization: Millis::ZERO, ..Settings::default() };
    let wanted = |used| {
        let mut memory = Memory::default();
        // The number that is found at first holds as if somebody had wished for it.
        decide(&settings, &snapshot(cpu(), [Some(350); 2], -15), &mut memory);
        decide(&settings, &snapshot(cpu(), used, 0), &mut memory).rescale.map(|rescale| rescale.to)
    };
    assert_eq!(wanted([Some(35), None]), None);
    assert_eq!(wanted([Some(35), Some(0)]), Some(1));
}

#[test]
fn an_external_metric_without_values_is_no_metric() {
    let mut empty = snapshot(queue(), [Some(0); 2], 0);
    let told = |snapshot: &Snapshot| decide(&Settings::default(), snapshot, &mut Memory::default());
    for values in [None, Some(Vec::new())] {
        empty.metrics.external = values.map(|values| ("queue".to_owned(), Ok(values))).into_iter().collect();
        let decision = told(&empty);
        let error = decision.error.as_deref().unwrap_or_default();
        assert!(error.contains("no metrics returned from external metrics API"), "{error}");
        assert_eq!(condition(&decision, "ScalingActive"), Some((ConditionStatus::False, "FailedGetExternalMetric")));
    }
    empty.metrics.external = [("queue".to_owned(), Ok(vec![15_000, 20_000]))].into();
    assert_eq!(told(&empty).rescale.map(|rescale| rescale.to), Some(4));
}

#[test]
fn a_workload_that_was_scaled_to_zero_comes_back_and_one_that_somebody_stopped_does_not() {
    let settings = Settings { scale_to_zero: true, downscale_stabilization: Millis::ZERO, ..Settings::default() };
    let with = |replicas: i32, entries: i64, status: &Status, memory: &mut Memory, seconds| {
        let mut snapshot = snapshot(queue(), [Some(0); 2], seconds);
        snapshot.spec.min_replicas = Some(0);
        snapshot.status = status.clone();
        if let Ok(scale) = &mut snapshot.scale {
            (scale.spec_replicas, scale.status_replicas) = (replicas, replicas);
        }
        snapshot.metrics.external = [("queue".to_owned(), Ok(vec![entries * 1000]))].into();
        decide(&settings, &snapshot, memory)
    };
    let to = |decision: &Decision| decision.rescale.as_ref().map(|rescale| rescale.to);
    let mut memory = Memory::default();
    assert_eq!(to(&with(3, 30, &Status::default(), &mut memory, -15)), None);
    let smaller = with(3, 15, &Status::default(), &mut memory, 0);
    assert_eq!(
        (to(&smaller), condition(&smaller, "ScaledToZero")),
        (Some(2), Some((ConditionStatus::False, "NotScaledToZero")))
    );
    let gone = with(2, 0, &smaller.status, &mut memory, 15);
    assert_eq!((to(&gone), condition(&gone, "ScaledToZero")), (Some(0), Some((ConditionStatus::True, "ScaledToZero"))));
    let quiet = with(0, 0, &gone.status, &mut memory, 30);
    assert_eq!(to(&quiet), None);
    let back = with(0, 25, &gone.status, &mut memory, 45);
    assert_eq!(
        (to(&back), condition(&back, "ScaledToZero")),
        (Some(3), Some((ConditionStatus::False, "NotScaledToZero")))
    );
    let stopped = with(0, 25, &Status::default(), &mut Memory::default(), 60);
    assert_eq!(
        (to(&stopped), condition(&stopped, "ScalingActive")),
        (None, Some((ConditionStatus::False, "ScalingDisabled")))
    );
}

/// What an autoscaler of this metric says when the metrics that it asks for have failed, and when its selector finds no pod.
fn check_words(metric: MetricSpec, metrics: Metrics, failed: Metrics, error: &str) {
    let told = |metrics: Metrics, without_pods: bool| {
        let mut snapshot = snapshot(metric.clone(), [Some(350); 2], 0);
        snapshot.metrics = metrics;
        if without_pods {
            snapshot.pods.clear();
        }
        decide(&Settings::default(), &snapshot, &mut Memory::default()).error.unwrap_or_default()
    };
    let words = told(failed, false);
    assert!(words.ends_with(error), "{words}");
    let words = told(metrics, true);
    assert!(words.ends_with("no pods returned by selector while calculating replica count"), "{words}");
}

#[test]
fn failed_requests_and_selectors_without_pods_are_told_apart() {
    let both = || ["web-0", "web-1"].map(|name| usage(name, Some(350), START)).into();
    let resource = |answer| Metrics { resource: Some(answer), ..Metrics::default() };
    let error = "unable to fetch metrics from resource metrics API: not today";
    check_words(cpu(), resource(Ok(both())), resource(Err("not today".into())), error);
    let target =
        Target { kind: "AverageValue".into(), average_value: Some(Quantity::from_millis(10_000)), ..Target::default() };
    let average = MetricSpec::Resource { resource: "cpu".into(), target: target.clone() };
    check_words(average, resource(Ok(both())), resource(Err("not today".into())), error);
    let identifier = MetricIdentifier { name: "rate".into(), selector: None };
    let samples = ["web-0", "web-1"].map(|name| PodSample {
        pod: name.into(),
        at: START,
        window: Millis::from_secs(15),
        value_milli: 5_000,
    });
    let pods = |answer| Metrics { pods: [("rate".to_owned(), answer)].into(), ..Metrics::default() };
    check_words(
        MetricSpec::Pods { metric: identifier, target },
        pods(Ok(samples.into())),
        pods(Err("not today".into())),
        "unable to fetch metrics from custom metrics API: not today",
    );
}

#[test]
fn a_total_is_told_with_its_share_of_the_target() {
    let mut busy = snapshot(queue(), [None; 2], 0);
    busy.metrics.external = [("queue".to_owned(), Ok(vec![25_000]))].into();
    let decision = decide(&Settings::default(), &busy, &mut Memory::default());
    let told = decision.report.reasons.iter().find(|reason| reason.rule == "hpa.metric").unwrap();
    assert_eq!((&told.inputs["ratio"], &told.inputs["proposal"]), (&json!(1.25), &json!(3)));
}

#[test]
fn a_selector_that_says_nothing_certain_stops_the_sync_with_upstreams_words() {
    let told = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = snapshot(cpu(), [Some(900); 2], 0);
        change(&mut snapshot);
        let decision = decide(&Settings::default(), &snapshot, &mut Memory::default());
        assert_eq!(decision.rescale, None);
        let reason = condition(&decision, "ScalingActive").map(|(status, reason)| {
            assert_eq!(status, ConditionStatus::False);
            reason.to_owned()
        });
        let event = decision.events.iter().find(|event| event.warning).map(|event| event.reason.to_string());
        (reason.unwrap_or_default(), event.unwrap_or_default(), decision.error.unwrap_or_default())
    };
    let scale = |change: &dyn Fn(&mut Scale)| {
        told(&|snapshot| {
            if let Ok(scale) = &mut snapshot.scale {
                change(scale);
            }
        })
    };
    let (reason, event, error) = scale(&|scale| scale.selector.clear());
    assert_eq!((reason.as_str(), event.as_str()), ("InvalidSelector", "SelectorRequired"));
    assert!(error.contains("selector is required"), "{error}");
    let (reason, event, error) = scale(&|scale| scale.selector_error = Some("no operator".into()));
    assert_eq!((reason.as_str(), event.as_str()), ("InvalidSelector", "InvalidSelector"));
    assert!(error.contains("internal selector object: no operator"), "{error}");
    let (reason, event, error) = told(&|snapshot| snapshot.selecting_autoscalers.push("d/other".into()));
    assert_eq!((reason.as_str(), event.as_str()), ("AmbiguousSelector", "AmbiguousSelector"));
    assert!(error.contains("are controlled by multiple HPAs: [d/web d/other]"), "{error}");
}
