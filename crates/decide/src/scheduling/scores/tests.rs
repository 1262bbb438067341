use serde_json::{Value, json};

use crate::wire::schedule::run;

fn node(name: &str, zone: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
           "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, node: Option<&str>, cpu: &str) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "d", "labels": {"app": "web"}}, "spec": {"containers":
        [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

/// Two nodes `a` and `b` in zones of their own and a new pod, changed at will; the weighted score of one plugin on both.
fn check(plugin: &str, expected: [i64; 2], change: impl FnOnce(&mut Value)) {
    let mut document = json!({"nodes": [node("a", "1"), node("b", "2")], "pods": [], "pod": pod("new", None, "1")});
    change(&mut document);
    let answer: Value = serde_json::from_str(&run(&document).unwrap()).unwrap();
    let score = |node: &str| answer["scores"][node].get(plugin).and_then(Value::as_i64).unwrap_or(0);
    assert_eq!([score("a"), score("b")], expected, "{plugin} of {answer}");
}

#[test]
fn taint_toleration() {
    let taint = json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]});
    check("TaintToleration", [300, 300], |_| {});
    check("TaintToleration", [0, 300], |d| d["nodes"][0]["spec"] = taint.clone());
    check("TaintToleration", [300, 300], |d| {
        d["nodes"][0]["spec"] = taint.clone();
        d["pod"]["spec"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    });
}

#[test]
fn node_affinity() {
    let preferred = |weight: i64, zone: &str| {
        json!({"weight": weight, "preference":
        {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}})
    };
    check("NodeAffinity", [50, 200], |d| {
        d["pod"]["spec"]["affinity"] = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [preferred(10, "1"), preferred(40, "2")]}});
    });
}

#[test]
fn resources() {
    // Half the CPU and a quarter of the memory of `a` would be taken: (50 + 75) / 2.
    check("NodeResourcesFit", [62, 81], |d| d["pods"] = json!([pod("old", Some("a"), "1")]));
    // The second pod makes the balance of `a` worse by 6 points, the first that of `b` by 7.
    check("NodeResourcesBalancedAllocation", [72, 71], |d| d["pods"] = json!([pod("old", Some("a"), "1")]));
    check("NodeResourcesBalancedAllocation", [0, 0], |d| {
        d["pod"]["spec"]["containers"][0]["resources"] = json!({});
    });
}

#[test]
fn image_locality() {
    let images = |mebibytes: i64| json!([{"names": ["web:1"], "sizeBytes": mebibytes * 1024 * 1024}]);
    // On one node of two, 600 MiB count half: (300 − 23) of (1000 − 23).
    check("ImageLocality", [28, 0], |d| d["nodes"][0]["status"]["images"] = images(600));
    check("ImageLocality", [100, 100], |d| {
        d["nodes"][0]["status"]["images"] = images(1200);
        d["nodes"][1]["status"]["images"] = images(1200);
    });
    check("ImageLocality", [0, 0], |d| d["nodes"][0]["status"]["images"] = images(20));
}

#[test]
fn pod_topology_spread() {
    let owned = |d: &mut Value| {
        d["services"] = json!([{"metadata": {"name": "web", "namespace": "d"}, "spec": {"selector": {"app": "web"}}}]);
        d["pods"] = json!([pod("old", Some("a"), "1")]);
    };
    // Defaults for a pod of a service: on `a` 2 × ln 4 + 6 rounds to 9, on `b` the skews alone give 6.
    check("PodTopologySpread", [132, 200], owned);
    check("PodTopologySpread", [0, 0], |d| d["pods"] = json!([pod("old", Some("a"), "1")]));
    check("PodTopologySpread", [0, 200], |d| {
        owned(d);
        d["pod"]["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    });
}

#[test]
fn inter_pod_affinity() {
    let preferring = |kind: &str| {
        json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "podAffinityTerm":
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}}]}})
    };
    check("InterPodAffinity", [200, 0], |d| {
        d["pods"] = json!([pod("old", Some("a"), "1")]);
        d["pod"]["spec"]["affinity"] = preferring("podAffinity");
    });
    check("InterPodAffinity", [0, 200], |d| {
        d["pods"] = json!([pod("old", Some("a"), "1")]);
        d["pods"][0]["spec"]["affinity"] = preferring("podAntiAffinity");
    });
}
