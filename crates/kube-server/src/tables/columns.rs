//! The columns of each built-in resource (upstream: `pkg/printers/internalversion/printers.go`, v1.36.3).

use serde_json::{Value, json};
use units::Timestamp;

use super::pods::POD;
use super::workloads;
use super::{Column, age, selector_text};
use crate::json;

pub const fn name() -> Column {
    Column { name: "Name", kind: "string", format: "name", priority: 0, cell: |o, _| o["metadata"]["name"].clone() }
}

pub const fn age_column() -> Column {
    Column {
        name: "Age",
        kind: "string",
        format: "",
        priority: 0,
        cell: |o, now| json!(age(json::text(o, "/metadata/creationTimestamp"), now)),
    }
}

pub const fn text(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "string", format: "", priority: 0, cell }
}

pub const fn number(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "integer", format: "", priority: 0, cell }
}

pub const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "string", format: "", priority: 1, cell }
}

pub fn shown(value: Option<&str>) -> Value {
    json!(value.filter(|v| !v.is_empty()).unwrap_or("<none>"))
}

pub fn joined(values: impl Iterator<Item = String>) -> Value {
    let all: Vec<String> = values.collect();
    json!(if all.is_empty() { "<none>".to_owned() } else { all.join(",") })
}

fn count(object: &Value, pointer: &str) -> Value {
    json!(
        object
            .pointer(pointer)
            .map_or(0, |v| v.as_object().map_or_else(|| v.as_array().map_or(0, Vec::len), serde_json::Map::len))
    )
}

static PLAIN: [Column; 2] = [name(), age_column()];
static NAMESPACE: [Column; 3] = [name(), text("Status", |o, _| o["status"]["phase"].clone()), age_column()];
static CONFIG_MAP: [Column; 3] = [
    name(),
    number("Data", |o, _| {
        json!(count(o, "/data").as_u64().unwrap_or(0) + count(o, "/binaryData").as_u64().unwrap_or(0))
    }),
    age_column(),
];
static SECRET: [Column; 4] =
    [name(), text("Type", |o, _| o["type"].clone()), number("Data", |o, _| count(o, "/data")), age_column()];
static SERVICE_ACCOUNT: [Column; 3] = [name(), number("Secrets", |o, _| count(o, "/secrets")), age_column()];
static SERVICE: [Column; 7] = [
    name(),
    text("Type", |o, _| o["spec"]["type"].clone()),
    text("Cluster-IP", |o, _| shown(json::text(o, "/spec/clusterIP"))),
    text("External-IP", external_ip),
    text("Port(s)", |o, _| joined(json::items(o, "/spec/ports").iter().map(service_port))),
    age_column(),
    wide("Selector", |o, _| shown(Some(&selector_text(&o["spec"]["selector"])))),
];

fn service_port(port: &Value) -> String {
    let protocol = json::text(port, "/protocol").unwrap_or("TCP");
    match json::integer(port, "/nodePort") {
        Some(node) => format!("{}:{node}/{protocol}", port["port"]),
        None => format!("{}/{protocol}", port["port"]),
    }
}

fn balancer(object: &Value) -> Vec<String> {
    json::items(object, "/status/loadBalancer/ingress")
        .iter()
        .filter_map(|i| json::text(i, "/ip").or_else(|| json::text(i, "/hostname")).map(str::to_owned))
        .collect()
}

fn external_ip(object: &Value, _: Timestamp) -> Value {
    let mut addresses = balancer(object);
    addresses.extend(json::items(object, "/spec/externalIPs").iter().filter_map(|a| a.as_str().map(str::to_owned)));
    match json::text(object, "/spec/type") {
        Some("ExternalName") => shown(json::text(object, "/spec/externalName")),
        Some("LoadBalancer") if addresses.is_empty() => json!("<pending>"),
        _ => joined(addresses.into_iter()),
    }
}

static ENDPOINTS: [Column; 3] =
    [name(), text("Endpoints", |o, _| joined(endpoints(o).into_iter().take(3))), age_column()];

fn endpoints(object: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for subset in json::items(object, "/subsets") {
        for address in json::items(subset, "/addresses") {
            let ip = json::text(address, "/ip").unwrap_or_default();
            all.extend(json::items(subset, "/ports").iter().map(|port| format!("{ip}:{}", port["port"])));
        }
    }
    all
}

static ENDPOINT_SLICE: [Column; 5] = [
    name(),
    text("AddressType", |o, _| o["addressType"].clone()),
    text("Ports", |o, _| joined(json::items(o, "/ports").iter().map(|p| p["port"].to_string()))),
    text("Endpoints", |o, _| {
        joined(
            json::items(o, "/endpoints")
                .iter()
                .flat_map(|e| json::items(e, "/addresses"))
                .filter_map(|a| a.as_str().map(str::to_owned)),
        )
    }),
    age_column(),
];

static NODE: [Column; 10] = [
    name(),
    text("Status", node_status),
    text("Roles", |o, _| joined(roles(o).into_iter())),
    age_column(),
    text("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
    wide("Internal-IP", |o, _| shown(node_address(o, "InternalIP"))),
    wide("External-IP", |o, _| shown(node_address(o, "ExternalIP"))),
    wide("OS-Image", |o, _| o["status"]["nodeInfo"]["osImage"].clone()),
    wide("Kernel-Version", |o, _| o["status"]["nodeInfo"]["kernelVersion"].clone()),
    wide("Container-Runtime", |o, _| o["status"]["nodeInfo"]["containerRuntimeVersion"].clone()),
];

fn node_address<'v>(node: &'v Value, kind: &str) -> Option<&'v str> {
    json::items(node, "/status/addresses").iter().find(|a| a["type"] == kind).and_then(|a| json::text(a, "/address"))
}

fn roles(node: &Value) -> Vec<String> {
    let labels = node["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned))
        .collect()
}

fn node_status(node: &Value, _: Timestamp) -> Value {
    let ready = json::items(node, "/status/conditions").iter().find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|c| c["status"] == "True") {
        Some(true) => "Ready".to_owned(),
        Some(false) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if json::flag(node, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    json!(status)
}

static EVENT: [Column; 9] = [
    text("Last Seen", |o, now| json!(age(last_seen(o), now))),
    text("Type", |o, _| o["type"].clone()),
    text("Reason", |o, _| o["reason"].clone()),
    text("Object", event_object),
    wide("Subobject", |o, _| o["involvedObject"]["fieldPath"].clone()),
    wide("Source", |o, _| {
        json!(json::text(o, "/source/component").or_else(|| json::text(o, "/reportingController")).unwrap_or_default())
    }),
    text("Message", |o, _| {
        json!(json::text(o, "/message").or_else(|| json::text(o, "/note")).unwrap_or_default().trim())
    }),
    wide("Count", |o, _| o["count"].clone()),
    Column { name: "Name", kind: "string", format: "name", priority: 1, cell: |o, _| o["metadata"]["name"].clone() },
];

fn last_seen(event: &Value) -> Option<&str> {
    [
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/series/lastObservedTime",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .find_map(|pointer| json::text(event, pointer))
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let about = event.get("involvedObject").or_else(|| event.get("regarding")).unwrap_or(&Value::Null);
    let kind = json::text(about, "/kind").unwrap_or_default().to_lowercase();
    json!(format!("{kind}/{}", json::text(about, "/name").unwrap_or_default()))
}

static INGRESS: [Column; 6] = [
    name(),
    text("Class", |o, _| shown(json::text(o, "/spec/ingressClassName"))),
    text("Hosts", |o, _| {
        let hosts: Vec<String> =
            json::items(o, "/spec/rules").iter().filter_map(|r| json::text(r, "/host").map(str::to_owned)).collect();
        json!(if hosts.is_empty() { "*".to_owned() } else { hosts.join(",") })
    }),
    text("Address", |o, _| json!(balancer(o).join(","))),
    text("Ports", |o, _| json!(if json::items(o, "/spec/tls").is_empty() { "80" } else { "80, 443" })),
    age_column(),
];
static INGRESS_CLASS: [Column; 4] = [
    name(),
    text("Controller", |o, _| o["spec"]["controller"].clone()),
    text("Parameters", |_, _| json!("<none>")),
    age_column(),
];
static NETWORK_POLICY: [Column; 3] =
    [name(), text("Pod-Selector", |o, _| shown(Some(&selector_text(&o["spec"]["podSelector"])))), age_column()];
static BUDGET: [Column; 5] = [
    name(),
    text("Min Available", |o, _| or_na(&o["spec"]["minAvailable"])),
    text("Max Unavailable", |o, _| or_na(&o["spec"]["maxUnavailable"])),
    number("Allowed Disruptions", |o, _| json!(json::integer(o, "/status/disruptionsAllowed").unwrap_or(0))),
    age_column(),
];

fn or_na(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}

static ROLE: [Column; 2] = [name(), text("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())];
static BINDING: [Column; 3] = [
    name(),
    text("Role", |o, _| {
        json!(format!(
            "{}/{}",
            json::text(o, "/roleRef/kind").unwrap_or_default(),
            json::text(o, "/roleRef/name").unwrap_or_default()
        ))
    }),
    age_column(),
];
static LEASE: [Column; 3] =
    [name(), text("Holder", |o, _| json!(json::text(o, "/spec/holderIdentity").unwrap_or_default())), age_column()];
static PRIORITY_CLASS: [Column; 5] = [
    name(),
    number("Value", |o, _| o["value"].clone()),
    text("Global-Default", |o, _| json!(json::flag(o, "/globalDefault"))),
    age_column(),
    text("PreemptionPolicy", |o, _| o["preemptionPolicy"].clone()),
];
static STORAGE_CLASS: [Column; 6] = [
    name(),
    text("Provisioner", |o, _| o["provisioner"].clone()),
    text("ReclaimPolicy", |o, _| o["reclaimPolicy"].clone()),
    text("VolumeBindingMode", |o, _| o["volumeBindingMode"].clone()),
    text("AllowVolumeExpansion", |o, _| json!(json::flag(o, "/allowVolumeExpansion"))),
    age_column(),
];
static CLAIM: [Column; 8] = [
    name(),
    text("Status", |o, _| o["status"]["phase"].clone()),
    text("Volume", |o, _| json!(json::text(o, "/spec/volumeName").unwrap_or_default())),
    text("Capacity", |o, _| json!(json::text(o, "/status/capacity/storage").unwrap_or_default())),
    text("Access Modes", |o, _| {
        json!(
            json::items(o, "/status/accessModes")
                .iter()
                .filter_map(Value::as_str)
                .map(access_mode)
                .collect::<Vec<_>>()
                .join(",")
        )
    }),
    text("StorageClass", |o, _| json!(json::text(o, "/spec/storageClassName").unwrap_or_default())),
    text("VolumeAttributesClass", |o, _| json!(json::text(o, "/spec/volumeAttributesClassName").unwrap_or("<unset>"))),
    age_column(),
];

fn access_mode(mode: &str) -> &str {
    match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    }
}

static DEFINITION: [Column; 2] = [name(), text("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())];
static QUOTA: [Column; 4] =
    [name(), text("Request", |o, _| json!(quota(o, false))), text("Limit", |o, _| json!(quota(o, true))), age_column()];

fn quota(object: &Value, limits: bool) -> String {
    let hard = object["status"]["hard"].as_object().or_else(|| object["spec"]["hard"].as_object());
    let shown = |(name, hard): (&String, &Value)| {
        let used = json::text(&object["status"]["used"][name], "").unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
    };
    let parts: Vec<String> =
        hard.into_iter().flatten().filter(|(name, _)| name.starts_with("limits.") == limits).map(shown).collect();
    parts.join(", ")
}

static LIMIT_RANGE: [Column; 2] = [name(), text("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())];

/// `resource` is plural and group with the dot always there: `pods.`, `deployments.apps`.
pub fn of(resource: &str) -> &'static [Column] {
    match resource {
        "pods." => &POD,
        "namespaces." => &NAMESPACE,
        "configmaps." => &CONFIG_MAP,
        "secrets." => &SECRET,
        "serviceaccounts." => &SERVICE_ACCOUNT,
        "services." => &SERVICE,
        "endpoints." => &ENDPOINTS,
        "nodes." => &NODE,
        "events." | "events.events.k8s.io" => &EVENT,
        "resourcequotas." => &QUOTA,
        "limitranges." => &LIMIT_RANGE,
        "persistentvolumeclaims." => &CLAIM,
        "replicationcontrollers." => &workloads::REPLICATION_CONTROLLER,
        "deployments.apps" => &workloads::DEPLOYMENT,
        "replicasets.apps" => &workloads::REPLICA_SET,
        "statefulsets.apps" => &workloads::STATEFUL_SET,
        "daemonsets.apps" => &workloads::DAEMON_SET,
        "jobs.batch" => &workloads::JOB,
        "cronjobs.batch" => &workloads::CRON_JOB,
        "horizontalpodautoscalers.autoscaling" => &workloads::AUTOSCALER,
        "poddisruptionbudgets.policy" => &BUDGET,
        "ingresses.networking.k8s.io" => &INGRESS,
        "ingressclasses.networking.k8s.io" => &INGRESS_CLASS,
        "networkpolicies.networking.k8s.io" => &NETWORK_POLICY,
        "endpointslices.discovery.k8s.io" => &ENDPOINT_SLICE,
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => &ROLE,
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => &BINDING,
        "leases.coordination.k8s.io" => &LEASE,
        "priorityclasses.scheduling.k8s.io" => &PRIORITY_CLASS,
        "storageclasses.storage.k8s.io" => &STORAGE_CLASS,
        "customresourcedefinitions.apiextensions.k8s.io" => &DEFINITION,
        _ => &PLAIN,
    }
}
