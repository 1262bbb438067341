use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::input::strict;
use super::input::{Input, Plan};
use super::{run, world};

/// Compares the lines without their reports, which only must not be empty.
fn check(document: &Value, expected: &[Value]) {
    let lines = run(document).expect("a valid document");
    let mut answers: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for answer in &mut answers {
        let object = answer.as_object_mut().unwrap();
        if let Some(report) = object.remove("report") {
            assert_ne!(report["summary"], json!(""), "{report}");
        }
    }
    assert_eq!(answers, expected, "{document}");
}

fn template() -> Value {
    json!({"metadata": {"name": "t", "labels": {"pool": "backend"}},
           "status": {"capacity": {"cpu": "2", "memory": "4Gi", "pods": "30"},
                      "allocatable": {"cpu": "1900m", "memory": "3Gi", "pods": "30"},
                      "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn group(name: &str, min: i32, max: i32, size: i32) -> Value {
    json!({"name": name, "min": min, "max": max, "size": size, "template": template()})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "ownerReferences":
             [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]}})
}

fn pods(range: std::ops::Range<usize>, cpu: &str) -> Vec<Value> {
    range.map(|number| pod(&format!("web-{number}"), cpu)).collect()
}

#[test]
fn pods_that_fit_nowhere_bring_nodes_in_the_next_timed_loop() {
    check(
        &json!({"groups": [group("backend", 1, 5, 1)], "nodeBoot": 120, "duration": 300,
                "events": [{"t": 0, "add": pods(0..5, "900m")}]}),
        &[
            json!({"t": 10, "group": "backend", "from": 1, "to": 3,
                   "for": ["default/web-2", "default/web-3", "default/web-4"]}),
            json!({"t": 300, "sizes": {"backend": 3}, "pending": []}),
        ],
    );
    // A pod that comes between two loops starts one at once, which finds it very new; the next one acts.
    check(
        &json!({"groups": [group("backend", 0, 5, 0)], "duration": 60, "nodeBoot": 20,
                "events": [{"t": 17.5, "add": pods(0..1, "900m")}]}),
        &[
            json!({"t": 27.5, "group": "backend", "from": 0, "to": 1, "for": ["default/web-0"]}),
            json!({"t": 60, "sizes": {"backend": 1}, "pending": []}),
        ],
    );
}

#[test]
fn the_maximum_and_the_size_of_a_node_limit_what_is_helped() {
    let mut all = pods(0..5, "1800m");
    all.push(pod("huge", "3"));
    check(
        &json!({"groups": [group("backend", 1, 2, 1)], "duration": 300, "events": [{"t": 0, "add": all}]}),
        &[
            json!({"t": 10, "group": "backend", "from": 1, "to": 2, "for": ["default/web-1"]}),
            json!({"t": 300, "sizes": {"backend": 2},
                   "pending": ["default/huge", "default/web-2", "default/web-3", "default/web-4"]}),
        ],
    );
}

#[test]
fn nodes_without_need_go_after_their_time_and_not_below_the_minimum() {
    check(
        &json!({"groups": [group("backend", 1, 5, 3)], "duration": 1000}),
        &[
            // The first loop comes after one scan interval, and the time must be over, not just up.
            json!({"t": 620, "group": "backend", "from": 3, "to": 2, "node": "backend-0", "reason": "Empty"}),
            json!({"t": 620, "group": "backend", "from": 2, "to": 1, "node": "backend-1", "reason": "Empty"}),
            json!({"t": 1000, "sizes": {"backend": 1}, "pending": []}),
        ],
    );
}

#[test]
fn nodes_with_pods_go_one_at_a_time_and_their_pods_move() {
    check(
        &json!({"groups": [group("backend", 1, 5, 3)], "duration": 700,
                "profile": {"scale-down-unneeded-time": "1m"},
                "events": [{"t": 0, "add": pods(0..3, "300m")}]}),
        &[
            json!({"t": 80, "group": "backend", "from": 3, "to": 2, "node": "backend-0", "reason": "Underutilized"}),
            json!({"t": 90, "group": "backend", "from": 2, "to": 1, "node": "backend-1", "reason": "Underutilized"}),
            json!({"t": 700, "sizes": {"backend": 1}, "pending": []}),
        ],
    );
}

#[test]
fn a_scale_up_holds_scale_down_back() {
    check(
        &json!({"groups": [group("backend", 0, 5, 0)], "duration": 1200, "nodeBoot": 60,
                "profile": {"scale-down-unneeded-time": "1m", "scale-down-delay-after-add": "5m"},
                "events": [{"t": 0, "add": pods(0..1, "1800m")}, {"t": 100, "remove": ["default/web-0"]}]}),
        &[
            json!({"t": 10, "group": "backend", "from": 0, "to": 1, "for": ["default/web-0"]}),
            json!({"t": 310, "group": "backend", "from": 1, "to": 0, "node": "backend-0", "reason": "Empty"}),
            json!({"t": 1200, "sizes": {"backend": 0}, "pending": []}),
        ],
    );
}

#[test]
fn a_node_that_could_not_be_removed_is_tried_again_after_five_minutes() {
    // Half used, with nowhere to go, from t = 70 on; empty from t = 100 on.
    check(
        &json!({"groups": [group("backend", 0, 5, 0)], "duration": 600, "nodeBoot": 60,
                "profile": {"scale-down-unneeded-time": "1m", "scale-down-delay-after-add": "10s"},
                "events": [{"t": 0, "add": pods(0..1, "900m")}, {"t": 100, "remove": ["default/web-0"]}]}),
        &[
            json!({"t": 10, "group": "backend", "from": 0, "to": 1, "for": ["default/web-0"]}),
            json!({"t": 440, "group": "backend", "from": 1, "to": 0, "node": "backend-0", "reason": "Empty"}),
            json!({"t": 600, "sizes": {"backend": 0}, "pending": []}),
        ],
    );
}

#[test]
fn a_failed_node_gives_up_its_pods_and_goes_after_the_unready_time() {
    check(
        &json!({"groups": [group("backend", 1, 5, 2)], "duration": 2000, "nodeBoot": 60,
                "profile": {"scale-down-unready-time": "3m", "scale-down-unneeded-time": "20m",
                            "scale-down-delay-after-add": "1m"},
                "events": [{"t": 0, "add": pods(0..2, "1500m")}, {"t": 100, "fail": "backend-0"}]}),
        &[
            json!({"t": 410, "group": "backend", "from": 2, "to": 3, "for": ["default/web-1"]}),
            json!({"t": 590, "group": "backend", "from": 3, "to": 2, "node": "backend-0", "reason": "Unready"}),
            json!({"t": 2000, "sizes": {"backend": 2}, "pending": []}),
        ],
    );
}

#[test]
fn a_budget_and_an_annotation_keep_a_node() {
    let mut safe = pod("web-0", "300m");
    safe["metadata"]["annotations"] = json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"});
    check(
        &json!({"groups": [group("backend", 0, 5, 1)], "duration": 2000, "events": [{"t": 0, "add": [safe]}]}),
        &[json!({"t": 2000, "sizes": {"backend": 1}, "pending": []})],
    );
    let budget = json!({"metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {}}, "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    check(
        &json!({"groups": [group("backend", 1, 5, 2)], "duration": 2000, "pdbs": [budget],
                "events": [{"t": 0, "add": pods(0..2, "300m")}]}),
        &[json!({"t": 2000, "sizes": {"backend": 2}, "pending": []})],
    );
}

#[test]
fn daemon_sets_take_their_share_of_new_nodes() {
    let daemon = json!({"metadata": {"name": "agent", "namespace": "kube-system"}, "spec": {"selector": {}, "template":
        {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "200m"}}}]}}}});
    check(
        &json!({"groups": [group("backend", 0, 5, 0)], "duration": 100, "nodeBoot": 30, "daemonsets": [daemon],
                "events": [{"t": 0, "add": pods(0..2, "900m")}]}),
        &[
            json!({"t": 10, "group": "backend", "from": 0, "to": 2, "for": ["default/web-0", "default/web-1"]}),
            json!({"t": 100, "sizes": {"backend": 2}, "pending": []}),
        ],
    );
}

#[test]
fn groups_below_their_minimum_are_raised() {
    check(
        &json!({"groups": [group("backend", 2, 5, 1)], "duration": 100, "nodeBoot": 30}),
        &[
            json!({"t": 10, "group": "backend", "from": 1, "to": 2, "for": []}),
            json!({"t": 100, "sizes": {"backend": 2}, "pending": []}),
        ],
    );
}

/// Differs (Decisions): The `random` expander draws by the seed of the document, upstream from a random source.
#[test]
fn the_expander_decides_between_groups() {
    let mut large = group("large", 0, 5, 0);
    large["template"]["status"]["capacity"]["cpu"] = json!("8");
    large["template"]["status"]["allocatable"]["cpu"] = json!("7800m");
    let document = |expander: &str| {
        json!({"groups": [large.clone(), group("small", 0, 5, 0)], "duration": 100, "nodeBoot": 30,
               "profile": {"expander": expander}, "events": [{"t": 0, "add": pods(0..1, "1800m")}]})
    };
    check(
        &document("least-waste"),
        &[
            json!({"t": 10, "group": "small", "from": 0, "to": 1, "for": ["default/web-0"]}),
            json!({"t": 100, "sizes": {"small": 1, "large": 0}, "pending": []}),
        ],
    );
    let first = run(&document("random")).unwrap();
    assert_eq!(first, run(&document("random")).unwrap(), "the same seed draws the same group");
}

#[test]
fn refuses_documents_that_contradict_themselves() {
    for (document, expected) in [
        (json!({"groups": [], "duration": 1, "event": []}), "event: unknown field"),
        (json!({"groups": [group("a", 2, 1, 1)], "duration": 1}), "groups[0].max: min 2 and max 1 are no range"),
        (
            json!({"groups": [group("a", 0, 1, 2)], "duration": 1}),
            "groups[0].size: 2 is not within 0 and the maximum, 1",
        ),
        (
            json!({"groups": [group("a", 0, 1, 1), group("a", 0, 1, 1)], "duration": 1}),
            "groups[1].name: `a` appears twice",
        ),
        (json!({"groups": [], "duration": -1}), "duration: -1 is not a number of seconds of 0 or more"),
        (
            json!({"groups": [], "duration": 1, "profile": {"scan-intervall": "1s"}}),
            "profile.scan-intervall: unknown setting of the cluster autoscaler's profile",
        ),
        (
            json!({"groups": [], "duration": 1, "profile": {"scale-down-unneeded-time": "ten"}}),
            "profile.scale-down-unneeded-time: `ten` is not a duration such as 10s, 1m30s or 2h",
        ),
        (json!({"groups": [group("a", -1, 1, 0)], "duration": 1}), "groups[0].max: min -1 and max 1 are no range"),
        (json!({"groups": [group("a", 0, 1_000_000, 0)], "duration": 1}), "groups[0].max: 1000000 is more than 100000"),
        (json!({"groups": [group("", 0, 1, 0)], "duration": 1}), "groups[0].name: a group needs a name"),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 5}, {"t": 3}]}),
            "events[1].t: 3 comes before the event above it, at 5",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 5, "remove": ["a/b"]}]}),
            "events[0].remove[0]: `a/b` was never added",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 5, "remove": ["b"]}]}),
            "events[0].remove[0]: `b` is not namespace/name",
        ),
        (
            json!({"groups": [group("a", 0, 1, 1)], "duration": 9, "events": [{"t": 5, "fail": "b-0"}]}),
            "events[0].fail: `b-0` is no node of a group: nodes are named <group>-<number>",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 0, "add": [pod("x", "1"), pod("x", "1")]}]}),
            "events[0].add[1].metadata.name: `default/x` is there already",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 0, "add": [pod("x", "1")]}, {"t": 1, "add": [pod("x", "1")]}]}),
            "events[1].add[0].metadata.name: `default/x` is there already",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 0, "add": [pod("x", "-1")]}]}),
            "events[0].add[0].spec.containers[0].resources.requests.cpu: `-1` is less than nothing",
        ),
        (
            json!({"groups": [], "duration": 9, "events": [{"t": 0, "add": [pod("x", "much")]}]}),
            "events[0].add[0].spec.containers[0].resources.requests.cpu: `much` is not a quantity such as 500m or 2Gi",
        ),
        (
            json!({"groups": [], "duration": 3e9, "profile": {"scan-interval": "1ms"}}),
            "duration: more than 100000000 scan intervals",
        ),
    ] {
        assert_eq!(run(&document).unwrap_err().to_string(), expected);
    }
}

#[test]
fn one_change_is_followed_by_the_next_at_once() {
    let mut pools: Vec<Value> = ["a", "b", "c"].iter().map(|name| group(name, 0, 5, 0)).collect();
    for pool in &mut pools {
        let name = pool["name"].clone();
        pool["template"]["metadata"]["labels"]["pool"] = name;
    }
    let pods: Vec<Value> = ["a", "b", "c"]
        .iter()
        .map(|pool| {
            let mut pod = pod(&format!("web-{pool}"), "900m");
            pod["spec"]["nodeSelector"] = json!({"pool": pool});
            pod
        })
        .collect();
    let lines = run(&json!({"groups": pools, "duration": 60, "events": [{"t": 0, "add": pods}]})).unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[..3].iter().all(|line| line.contains("\"t\":10,")), "{lines:?}");
}

#[test]
fn a_pod_that_comes_bound_takes_its_room() {
    let mut bound = pod("web-0", "1800m");
    bound["spec"]["nodeName"] = json!("backend-0");
    check(
        &json!({"groups": [group("backend", 0, 5, 1)], "duration": 60, "nodeBoot": 30,
                "events": [{"t": 1, "add": [bound, pod("web-1", "900m")]}]}),
        &[
            json!({"t": 11, "group": "backend", "from": 1, "to": 2, "for": ["default/web-1"]}),
            json!({"t": 60, "sizes": {"backend": 2}, "pending": []}),
        ],
    );
}

fn small_worlds() -> impl Strategy<Value = Value> {
    let add = (1_usize..6, prop::sample::select(vec!["100m", "450m", "900m", "1900m", "2500m"]));
    let events = prop::collection::vec((0_u32..1200, add, any::<bool>(), 0_usize..8), 1..5);
    let profile = prop::sample::select(vec![
        json!({}),
        json!({"scale-down-unneeded-time": "1m", "scale-down-delay-after-add": "0s"}),
        json!({"scale-down-unneeded-time": "2m", "scale-down-delay-after-add": "1m", "max-empty-bulk-delete": "1"}),
        json!({"scan-interval": "30s", "scale-down-unneeded-time": "3m", "new-pod-scale-up-delay": "45s"}),
        json!({"max-node-provision-time": "1m", "scale-down-unready-time": "2m", "scale-down-delay-after-add": "10s"}),
    ]);
    (events, profile, 0_i32..3, 0_i32..4, prop::sample::select(vec![0.0, 45.5, 120.0, 400.0])).prop_map(
        |(mut events, profile, min, size, boot)| {
            events.sort_by_key(|(t, ..)| *t);
            let mut number = 0;
            let mut alive: Vec<String> = Vec::new();
            let mut list = Vec::new();
            for (t, (count, cpu), removes, fails) in events {
                let mut event = json!({"t": t});
                if removes && !alive.is_empty() {
                    event["remove"] = json!(alive.split_off(alive.len() / 2));
                } else {
                    let new: Vec<Value> = (number..number + count).map(|n| pod(&format!("web-{n}"), cpu)).collect();
                    alive.extend((number..number + count).map(|n| format!("default/web-{n}")));
                    number += count;
                    event["add"] = json!(new);
                }
                if fails < 3 {
                    event["fail"] = json!(format!("a-{fails}"));
                }
                list.push(event);
            }
            json!({"groups": [group("a", min, 6, size), group("b", 0, 3, 0)], "profile": profile, "nodeBoot": boot,
                   "duration": 3600, "events": list})
        },
    )
}

fn numbered(mut count: usize, value: &mut Value, wrong: &Value) -> usize {
    if count == 0 {
        *value = wrong.clone();
        return usize::MAX;
    }
    count -= 1;
    let parts: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => Vec::new(),
    };
    for part in parts {
        if count == usize::MAX {
            break;
        }
        count = numbered(count, part, wrong);
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn leaving_quiet_loops_out_changes_no_line(document in small_worlds()) {
        let plan = || Plan::new(strict::<Input>(&document).unwrap()).unwrap();
        prop_assert_eq!(world::play_with(plan(), true), world::play_with(plan(), false));
    }

    #[test]
    fn no_document_makes_it_panic(
        mut document in small_worlds(),
        at in 0_usize..250,
        wrong in prop::sample::select(vec![
            json!(null), json!(-1), json!(1e300), json!("x"), json!(""), json!([]), json!({}), json!(true),
            json!(i64::MAX), json!("9e99"), json!("-5"), json!({"a": {"b": 1}}), json!([null]),
        ]),
    ) {
        numbered(at, &mut document, &wrong);
        // Whatever it says, in one line where it refuses.
        if let Err(error) = run(&document) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
