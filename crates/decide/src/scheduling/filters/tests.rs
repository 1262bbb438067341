use serde_json::{Value, json};

use crate::scheduling::{Cluster, fits};
use crate::wire::context::{claim_view, csi_node_view, persistent_volume_view, storage_class_view};
use crate::wire::node::node_view;
use crate::wire::pod::pod_view;

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a valid object")
}

/// A node of zone 1 with an SSD, a taint that keeps ordinary pods off its GPU, and one pod on it.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    let labels = json!({"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "1", "disk": "ssd", "gen": "3"});
    let allocatable = json!({"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "3", "x.io/gpu": "1"});
    cluster.upsert_node(node_view(&from(json!({"metadata": {"name": "n", "labels": labels},
        "spec": {}, "status": {"allocatable": allocatable}}))));
    cluster.upsert_pod(pod_view(&from(
        json!({"metadata": {"name": "old", "namespace": "d", "labels": {"app": "old"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}},
            "ports": [{"containerPort": 80, "hostPort": 80}]}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "once"}},
                        {"name": "g", "gcePersistentDisk": {"pdName": "disk", "readOnly": true}}]}}),
    )));
    let claim = |name: &str, spec: Value| {
        let bound = json!({"pv.kubernetes.io/bind-completed": "yes"});
        let annotations = if spec.get("volumeName").is_some() { bound } else { json!({}) };
        claim_view(&from(
            json!({"metadata": {"name": name, "namespace": "d", "annotations": annotations}, "spec": spec}),
        ))
    };
    cluster.set_claims([
        claim("once", json!({"accessModes": ["ReadWriteOncePod"], "volumeName": "here", "storageClassName": "wait"})),
        claim("here", json!({"volumeName": "here", "storageClassName": "wait"})),
        claim("far", json!({"volumeName": "far", "storageClassName": "wait"})),
        claim("lost", json!({"volumeName": "none", "storageClassName": "wait"})),
        claim("now", json!({"storageClassName": "immediate"})),
        claim("later", json!({"storageClassName": "wait"})),
        claim("static", json!({"storageClassName": "static", "resources": {"requests": {"storage": "2Gi"}}})),
        claim("big", json!({"storageClassName": "static", "resources": {"requests": {"storage": "9Gi"}}})),
        claim("zoned", json!({"volumeName": "zoned", "storageClassName": "wait"})),
    ]);
    let volume = |name: &str, labels: Value, zone: Option<&str>, class: &str| {
        let mut spec = json!({"capacity": {"storage": "5Gi"}, "storageClassName": class,
                              "csi": {"driver": "csi", "volumeHandle": name}});
        if let Some(zone) = zone {
            spec["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions":
                [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}]}});
        }
        persistent_volume_view(&from(json!({"metadata": {"name": name, "labels": labels}, "spec": spec,
                                            "status": {"phase": "Available"}})))
    };
    cluster.set_volumes([
        volume("here", json!({}), Some("1"), "wait"),
        volume("far", json!({}), Some("2"), "wait"),
        volume("spare", json!({}), Some("1"), "static"),
        volume("zoned", json!({"topology.kubernetes.io/zone": "2__3"}), None, "wait"),
    ]);
    cluster.set_storage_classes(
        [
            ("wait", "csi", "WaitForFirstConsumer"),
            ("immediate", "csi", "Immediate"),
            ("static", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        ]
        .map(|(name, provisioner, mode)| {
            storage_class_view(&from(
                json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}),
            ))
        }),
    );
    cluster
}

/// `None`: the pod fits.
fn check_on(cluster: &Cluster, spec: &Value, expected: Option<&str>) {
    let mut spec = spec.clone();
    if spec.get("containers").is_none() {
        spec["containers"] = json!([]);
    }
    let pod =
        json!({"metadata": {"name": "new", "namespace": "d", "uid": "u", "labels": {"app": "new"}}, "spec": spec});
    assert_eq!(fits(cluster, &pod_view(&from(pod)), "n").err().as_deref(), expected, "{spec}");
}

fn check(spec: Value, expected: Option<&str>) {
    check_on(&cluster(), &spec, expected);
}

fn requests(list: Value) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": list}}]})
}

#[test]
fn node_resources_fit() {
    check(requests(json!({"cpu": "1500m", "memory": "4Gi", "x.io/gpu": "1"})), None);
    check(requests(json!({"cpu": "1501m", "memory": "5Gi"})), Some("Insufficient cpu, Insufficient memory"));
    check(requests(json!({"ephemeral-storage": "11Gi"})), Some("Insufficient ephemeral-storage"));
    check(requests(json!({"x.io/gpu": "2"})), Some("Insufficient x.io/gpu"));
    let mut full = cluster();
    for name in ["a", "b"] {
        full.upsert_pod(pod_view(&from(json!({"metadata": {"name": name, "namespace": "d"},
            "spec": {"nodeName": "n", "containers": []}}))));
    }
    check_on(&full, &json!({}), Some("Too many pods"));
}

#[test]
fn node_name_unschedulable_and_taints() {
    check(json!({"nodeName": "other"}), Some("node(s) didn't match the requested node name"));
    let mut cordoned = cluster();
    let mut view = (**cordoned.node("n").unwrap()).clone();
    view.unschedulable = true;
    cordoned.upsert_node(view.clone());
    check_on(&cordoned, &json!({}), Some("node(s) were unschedulable"));
    check_on(&cordoned, &json!({"tolerations": [{"operator": "Exists"}]}), None);
    view.unschedulable = false;
    view.taints = vec![crate::scheduling::view::Taint::new("k", "v", crate::scheduling::view::TaintEffect::NoExecute)];
    let mut tainted = cluster();
    tainted.upsert_node(view);
    check_on(&tainted, &json!({}), Some("node(s) had untolerated taint(s)"));
    check_on(&tainted, &json!({"tolerations": [{"key": "k", "value": "w"}]}), Some("node(s) had untolerated taint(s)"));
    check_on(&tainted, &json!({"tolerations": [{"key": "k", "value": "v", "effect": "NoExecute"}]}), None);
}

#[test]
fn node_affinity() {
    let no_match = Some("node(s) didn't match Pod's node affinity/selector");
    let required = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    check(json!({"nodeSelector": {"disk": "ssd"}}), None);
    check(json!({"nodeSelector": {"disk": "hdd"}}), no_match);
    check(required(json!([{"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["2"]}]}])), None);
    check(required(json!([{"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["3"]}]}])), no_match);
    check(required(json!([{"matchExpressions": [{"key": "rack", "operator": "NotIn", "values": ["1"]}]}])), None);
    check(required(json!([{}])), no_match);
    check(required(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}])), None);
}

#[test]
fn node_ports() {
    let taken = Some("node(s) didn't have free ports for the requested pod ports");
    let port = |port: Value| json!({"containers": [{"name": "c", "ports": [port]}]});
    check(port(json!({"containerPort": 80, "hostPort": 80})), taken);
    check(port(json!({"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"})), taken);
    check(port(json!({"containerPort": 80, "hostPort": 80, "protocol": "UDP"})), None);
    check(port(json!({"containerPort": 80})), None);
}

#[test]
fn volumes() {
    let claiming = |name: &str| json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]});
    check(claiming("here"), None);
    check(claiming("later"), None);
    check(claiming("static"), None);
    check(claiming("far"), Some("node(s) didn't match PersistentVolume's node affinity"));
    check(claiming("big"), Some("node(s) didn't find available persistent volumes to bind"));
    check(claiming("now"), Some("pod has unbound immediate PersistentVolumeClaims"));
    check(claiming("missing"), Some("persistentvolumeclaim \"missing\" not found"));
    check(claiming("lost"), Some("persistentvolume \"none\" not found"));
    check(claiming("zoned"), Some("node(s) had no available volume zone"));
    check(
        claiming("once"),
        Some(
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
        ),
    );
    let disk = |read_only: bool| json!({"volumes": [{"name": "g", "gcePersistentDisk": {"pdName": "disk", "readOnly": read_only}}]});
    check(disk(true), None);
    check(disk(false), Some("node(s) had no available disk"));
    let mut limited = cluster();
    limited.set_csi_nodes([csi_node_view(&from(json!({"metadata": {"name": "n"},
        "spec": {"drivers": [{"name": "csi", "nodeID": "n", "allocatable": {"count": 1}}]}})))]);
    check_on(&limited, &claiming("here"), None);
    check_on(&limited, &claiming("later"), Some("node(s) exceed max volume count"));
}

#[test]
fn pod_topology_spread() {
    let spread = |key: &str, label: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": label}}}]})
    };
    let zone = "topology.kubernetes.io/zone";
    check(spread("rack", "new"), Some("node(s) didn't match pod topology spread constraints (missing required label)"));
    let mut two = cluster();
    two.upsert_node(node_view(&from(
        json!({"metadata": {"name": "m", "labels": {"topology.kubernetes.io/zone": "2"}},
        "status": {"allocatable": {"cpu": "1", "pods": "9"}}}),
    )));
    check_on(&two, &spread(zone, "new"), None);
    let mut both = two.clone();
    both.upsert_pod(pod_view(&from(json!({"metadata": {"name": "first", "namespace": "d", "labels": {"app": "new"}},
        "spec": {"nodeName": "n", "containers": []}}))));
    check_on(&both, &spread(zone, "new"), Some("node(s) didn't match pod topology spread constraints"));
    let mut soft = spread(zone, "new");
    soft["topologySpreadConstraints"][0]["whenUnsatisfiable"] = json!("ScheduleAnyway");
    check_on(&both, &soft, None);
    let mut elsewhere = both.clone();
    elsewhere.remove_pod("d", "first");
    check_on(&elsewhere, &spread(zone, "new"), None);
}

#[test]
fn inter_pod_affinity() {
    let term = |kind: &str, label: &str| {
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": label}}}]}}})
    };
    check(term("podAffinity", "old"), None);
    check(term("podAffinity", "absent"), Some("node(s) didn't match pod affinity rules"));
    check(term("podAffinity", "new"), None);
    check(term("podAntiAffinity", "old"), Some("node(s) didn't match pod anti-affinity rules"));
    check(term("podAntiAffinity", "absent"), None);
    let mut repelling = cluster();
    let mut old = term("podAntiAffinity", "new");
    old["nodeName"] = json!("n");
    old["containers"] = json!([]);
    repelling.upsert_pod(pod_view(&from(json!({"metadata": {"name": "hermit", "namespace": "d"}, "spec": old}))));
    check_on(&repelling, &json!({}), Some("node(s) didn't satisfy existing pods anti-affinity rules"));
}
