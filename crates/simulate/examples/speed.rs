//! The speed of simulations: `scripts/bench sim` runs it and holds its figures against the budgets.
//!
//! One JSON document a line: what was simulated, milliseconds of CPU on one core, resident MiB. Arguments name what to
//! measure (`month`, `told`, `1d`, `7d`, `90d`, `50`, `200`, `1000`, `5000`, `pace`); none: everything. `speed cluster NODES PODS`
//! prints the cluster that `pace` schedules, for `conformance/pace`, which has the genuine scheduler do the same.

use std::hint::black_box;
use std::io::Write;

use decide::scheduling::queue::{Event, Queue};
use decide::scheduling::{Attempt, Cluster, Profile, TieBreak, try_place};
use decide::wire;
use k8s_openapi::api::core::v1::{Node, Pod};
use platform::Scaling;
use serde_json::{Value, json};
use simulate::load::{Curve, Load};
use simulate::scenario::Document;
use simulate::{Options, Scenario, run_with};
use units::{Millis, Timestamp};

#[path = "../tests/it/platforms.rs"]
mod platforms;

const MINUTE: i64 = 60_000;

/// A day's rise and fall with a weekend and noise, another value every minute.
fn traffic(days: i64, peak: f64) -> Load {
    let mut state = 1_u64;
    let minutes = (0..days * 1440).map(move |minute| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = 0.9 + 0.2 * ((state >> 33) as f64 / (1_u64 << 31) as f64);
        let day = (1.0 - (core::f64::consts::TAU * (minute % 1440) as f64 / 1440.0).cos()) / 2.0;
        let week = if (minute / 1440) % 7 >= 5 { 0.6 } else { 1.0 };
        (minute * MINUTE, peak * (0.05 + 0.95 * day * week) * noise)
    });
    Load::whole(Curve::new(minutes, Some(Millis(days * 1440 * MINUTE))))
}

fn document() -> Document {
    serde_json::from_value(json!({
        "seed": 1,
        "work": {
            "backend": {"cpu": "12ms", "memory": "96Mi", "concurrency": 16, "startup": "4s", "database": {"connections": 2, "time": "2ms"}},
            "frontend": {"cpu": "1ms"},
        },
        "objective": {"p99": "300ms", "errors": "0.1%"},
    }))
    .expect("the document is well formed")
}

fn measure(what: &str, scenario: &Scenario, options: Options, rounds: u32) -> f64 {
    let mut best = f64::INFINITY;
    let mut decisions = 0;
    for _ in 0..rounds {
        let start = cpu_millis();
        let outcome = black_box(run_with(scenario, options)).expect("it can be simulated");
        best = best.min(cpu_millis() - start);
        decisions = outcome.decisions;
    }
    say(&json!({"what": what, "ms": (best * 100.0).round() / 100.0, "decisions": decisions, "peak_mib": peak_mib()}));
    best
}

/// Milliseconds of CPU that this thread has used: other programs of a busy machine do not count.
fn cpu_millis() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e6
}

fn say(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn seed(days: i64) -> Scenario {
    Scenario::new(&document(), platforms::seed(), traffic(days, 230.0)).expect("the seed's platform can be simulated")
}

/// So many nodes at the peak, thirty pods each, in deployments of fifteen hundred.
fn large(nodes: u32, duration: Millis) -> Scenario {
    let deployments = nodes.div_ceil(50).max(1);
    let per_deployment = nodes * 30 / deployments;
    let mut manifests = Vec::new();
    let mut work = serde_json::Map::new();
    for number in 0..deployments {
        let name = format!("web-{number:03}");
        let mut deployment = platforms::deployment(&name, "120m", "128Mi", None);
        deployment["spec"]["template"]["spec"]["nodeSelector"] = json!({"marea.dev/pool": "backend"});
        deployment["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        deployment["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        manifests.push(deployment);
        manifests.push(platforms::autoscaler(&name, per_deployment / 2, per_deployment, &[("cpu", 60)]));
        work.insert(name, json!({"cpu": "5ms"}));
    }
    let mut pool =
        platforms::pool("backend", "Standard_D4als_v6", Scaling::Between { min: nodes / 2, max: nodes + nodes / 10 });
    pool.max_pods = Some(40);
    let system = platforms::pool("systempool", "Standard_D4als_v6", Scaling::Fixed(3));
    let platform = platforms::of(vec![system, pool], &manifests);
    let document: Document =
        serde_json::from_value(json!({"seed": 1, "work": work})).expect("the document is well formed");
    // Every pod at its target of 72m at the peak: 5 ms a request.
    let load = traffic(1, f64::from(per_deployment) * 0.072 / 0.005 * 0.95).between(Millis(0), duration);
    Scenario { duration, ..Scenario::new(&document, platform, load).expect("the large platform can be simulated") }
}

/// Empty nodes of four cores, and pods of ten ReplicaSets that wait for a place.
fn cluster(nodes: usize, pods: usize) -> Value {
    let set = |index: usize| format!("web-{index}");
    let node = |index: usize| {
        let resources = json!({"cpu": "4", "memory": "16Gi", "pods": "110"});
        let name = format!("node-{index:05}");
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("eastus-{}", index % 3 + 1)}},
            "status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]},
        })
    };
    let replica_set = |index: usize| {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": set(index), "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": set(index)}}},
        })
    };
    let pod = |index: usize| {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set(index % 10), "uid": set(index % 10), "controller": true});
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("web-{index:06}"), "namespace": "default", "uid": format!("{index}"),
                         "labels": {"app": set(index % 10)}, "ownerReferences": [owner]},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "web", "image": "registry/web:1", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
            "status": {"phase": "Pending"},
        })
    };
    json!({
        "nodes": (0..nodes).map(node).collect::<Vec<_>>(),
        "replicasets": (0..10).map(replica_set).collect::<Vec<_>>(),
        "pods": (0..pods).map(pod).collect::<Vec<_>>(),
    })
}

/// Places every pod of the cluster; seconds from the first attempt to the last binding.
fn place_all(cluster: &Value) -> f64 {
    let read = |list: &str| cluster[list].as_array().cloned().unwrap_or_default();
    let (mut state, mut queue, mut tie) = (Cluster::new(), Queue::new(), TieBreak::new(1));
    for node in read("nodes") {
        state.upsert_node(wire::node::node_view(&serde_json::from_value::<Node>(node).expect("a node")));
    }
    state.set_owners(
        read("replicasets")
            .into_iter()
            .map(|set| wire::context::replica_set_selector(&serde_json::from_value(set).expect("a ReplicaSet"))),
    );
    let now = Timestamp(0);
    for pod in read("pods") {
        let view = wire::pod::pod_view(&serde_json::from_value::<Pod>(pod).expect("a pod"));
        let priority = state.priority(&view);
        queue.upsert(view, priority, now);
    }
    let start = cpu_millis();
    while let Some(pod) = queue.pop(now) {
        let Attempt::Bound { node } = try_place(&mut state, &pod, &Profile::default(), &mut tie) else {
            panic!("{} fits nowhere", pod.key());
        };
        state.assume_pod(pod.clone(), &node);
        queue.remove(&pod.namespace, &pod.name);
        queue.on_event(Event::PodBound, now);
    }
    (cpu_millis() - start) / 1000.0
}

fn pace(nodes: usize, pods: usize) {
    let cluster = cluster(nodes, pods);
    let seconds = (0..3).map(|_| place_all(&cluster)).fold(f64::INFINITY, f64::min);
    let per_second = (pods as f64 / seconds).round();
    say(
        &json!({"what": format!("{pods} pods on {nodes} nodes"), "seconds": seconds, "pods_per_second": per_second, "nodes": nodes, "pods": pods}),
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [first, nodes, pods] = wanted.as_slice()
        && first == "cluster"
    {
        let count = |text: &str| text.parse().expect("a number of nodes or pods");
        return say(&cluster(count(nodes), count(pods)));
    }
    let is_wanted = |what: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == what);
    if is_wanted("month") {
        measure("30 days of the seed's platform, one seed, summary", &seed(30), Options::summary(), 5);
    }
    if is_wanted("told") {
        measure("the same with every decision and minute", &seed(30), Options::default(), 3);
    }
    for days in [1, 7, 90] {
        if is_wanted(&format!("{days}d")) {
            measure(&format!("{days} days"), &seed(days), Options::summary(), 3);
        }
    }
    let day = Millis(1440 * MINUTE);
    for nodes in [50, 200, 1000, 5000] {
        if is_wanted(&nodes.to_string()) {
            let what = format!("one day of {nodes} nodes, {} pods", nodes * 30);
            measure(&what, &large(nodes, day), Options::summary(), 1);
        }
    }
    if is_wanted("pace") {
        pace(1000, 5000);
    }
}
