//! Timelines through the public format: what `marea decide hpa` answers.

use decide::wire::hpa_timeline::run;
use serde_json::{Value, json};

fn lines(document: Value) -> Vec<Value> {
    run(&document).unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Expects `t: from→to` for every change, and the final number.
fn check(document: Value, changes: &[(f64, i64, i64)], last: i64) {
    let mut lines = lines(document);
    let end = lines.pop().unwrap();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["t"].as_f64().unwrap(), line["from"].as_i64().unwrap(), line["to"].as_i64().unwrap()))
        .collect();
    assert_eq!(seen, changes);
    assert_eq!(end["final"], last);
}

fn cpu_spec(percent: i32, min: i32, max: i32, behavior: Value) -> Value {
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": min, "maxReplicas": max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}],
    });
    if !behavior.is_null() {
        spec["behavior"] = behavior;
    }
    spec
}

fn document(spec: Value, steps: Value, duration: i64) -> Value {
    json!({"spec": spec, "initialReplicas": 2, "podRequest": {"cpu": "500m", "memory": "256Mi"}, "podReadyDelay": 5,
           "duration": duration, "steps": steps})
}

#[test]
fn a_tenfold_load_doubles_every_sync_and_shrinks_after_the_window() {
    // New pods count only after a whole metric window; until then the first wish, 12, holds by stabilisation, and each
    // sync may double.
    let steps = json!([{"t": 0, "totalCPU": 600}, {"t": 97, "totalCPU": 4000}, {"t": 600, "totalCPU": 600}]);
    check(
        document(cpu_spec(70, 2, 10, Value::Null), steps, 1800),
        &[(105.0, 2, 4), (120.0, 4, 8), (135.0, 8, 10), (900.0, 10, 2)],
        2,
    );
}

#[test]
fn usage_within_the_tolerance_changes_nothing() {
    check(document(cpu_spec(70, 2, 10, Value::Null), json!([{"t": 0, "podCPU": 380}]), 300), &[], 2);
    check(document(cpu_spec(70, 2, 10, Value::Null), json!([{"t": 0, "podCPU": 390}]), 30), &[(15.0, 2, 3)], 3);
}

#[test]
fn bounds_apply_without_metrics() {
    let steps = json!([{"t": 0, "drop": true}, {"t": 100, "spec": cpu_spec(70, 4, 10, Value::Null)}]);
    check(document(cpu_spec(70, 2, 10, Value::Null), steps, 300), &[(105.0, 2, 4)], 4);
}

#[test]
fn policies_limit_each_period() {
    let behavior = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
                          "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}]}});
    // At 210 the replica added at 195 lies within the period: half of five, rounded down, may stay.
    let steps = json!([{"t": 0, "podCPU": 500}, {"t": 200, "podCPU": 10}]);
    check(
        document(cpu_spec(50, 2, 8, behavior), steps, 400),
        &[(15.0, 2, 3), (75.0, 3, 4), (135.0, 4, 5), (195.0, 5, 6), (210.0, 6, 2)],
        2,
    );
}

#[test]
fn failed_metrics_say_so_word_for_word() {
    let mut verbose = document(cpu_spec(70, 2, 10, Value::Null), json!([{"t": 0, "drop": true}]), 15);
    verbose["verbose"] = json!(true);
    let line = lines(verbose).remove(0);
    assert_eq!(
        line["conditions"],
        json!({"AbleToScale": "True/SucceededGetScale", "ScalingActive": "False/FailedGetResourceMetric"})
    );
    assert_eq!(
        line["events"][0]["message"],
        "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    );
    assert_eq!(
        line["events"][1]["message"],
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    );
}

#[test]
fn bad_input_is_refused_by_field() {
    let check = |change: fn(&mut Value), expected: &str| {
        let mut document = document(cpu_spec(70, 2, 10, Value::Null), json!([{"t": 0, "totalCPU": 1}]), 60);
        change(&mut document);
        assert_eq!(run(&document).unwrap_err().to_string(), expected);
    };
    check(|d| d["spec"]["maxReplica"] = json!(1), "spec.maxReplica: unknown field");
    check(|d| d["spec"]["maxReplicas"] = json!(0), "spec.maxReplicas: must be greater than 0");
    check(|d| d["steps"][0]["totalCpu"] = json!(1), "steps[0].totalCpu: unknown field");
    check(|d| d["steps"][0]["podCPU"] = json!(1), "steps[0].totalCPU: stands beside podCPU; name one of the two");
    check(|d| d["duration"] = json!(-1), "duration: -1 is not a number of seconds from 0 to 31622400");
    check(
        |d| d["steps"] = json!([{"t": 5}, {"t": 4}]),
        "steps[1].t: lies before the step above it; steps go forward in time",
    );
    check(
        |d| d["podRequest"]["cpu"] = json!("5cores"),
        "podRequest.cpu: `5cores` is not a quantity such as 250m, 1.5, 128Mi or 1e3",
    );
}

#[test]
fn one_shot_reads_a_clusters_objects() {
    let pod = |name: &str| {
        json!({"metadata": {"name": name, "labels": {"app": "web"}},
               "spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "500m"}}}]},
               "status": {"phase": "Running", "startTime": "2026-11-23T08:00:00Z",
                          "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T08:00:10Z"}]}})
    };
    let metrics = |name: &str, cpu: &str| {
        json!({"metadata": {"name": name}, "timestamp": "2026-11-23T09:59:50Z", "window": "15.03s",
               "containers": [{"name": "web", "usage": {"cpu": cpu, "memory": "10Mi"}}]})
    };
    let document = json!({
        "hpa": {"metadata": {"name": "web", "namespace": "shop"}, "spec": cpu_spec(50, 1, 9, Value::Null)},
        "scale": {"replicas": 3, "selector": "app=web"},
        "pods": [pod("a"), pod("b"), pod("c")],
        "podMetrics": [metrics("a", "400m"), metrics("b", "500m"), metrics("c", "450000000n")],
        "now": "2026-11-23T10:00:00Z"
    });
    let line = lines(document).remove(0);
    assert_eq!(
        (&line["from"], &line["to"], &line["utilization"], &line["ready"]),
        (&json!(3), &json!(6), &json!(90), &json!(3))
    );
}
