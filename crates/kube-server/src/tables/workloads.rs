//! The columns of everything that runs pods.

use serde_json::{Value, json};
use units::Timestamp;

use super::columns::{age_column, joined, name, number, shown, text, wide};
use super::{Column, age, human_duration, selector_text};
use crate::json;

fn integer(object: &Value, pointer: &str) -> Value {
    json!(json::integer(object, pointer).unwrap_or(0))
}

fn containers(object: &Value, template: &str, field: &str) -> Value {
    let pointer = format!("{template}/spec/containers");
    joined(
        json::items(object, &pointer)
            .iter()
            .map(|c| json::text(c, &format!("/{field}")).unwrap_or_default().to_owned()),
    )
}

fn selector(object: &Value, _: Timestamp) -> Value {
    shown(Some(&selector_text(&object["spec"]["selector"])))
}

fn of_desired(object: &Value, ready: &str) -> Value {
    let desired = json::integer(object, "/spec/replicas").unwrap_or(0);
    json!(format!("{}/{desired}", json::integer(object, ready).unwrap_or(0)))
}

const CONTAINERS: Column = wide("Containers", |o, _| containers(o, "/spec/template", "name"));
const IMAGES: Column = wide("Images", |o, _| containers(o, "/spec/template", "image"));
const SELECTOR: Column = wide("Selector", selector);

pub static DEPLOYMENT: [Column; 8] = [
    name(),
    text("Ready", |o, _| of_desired(o, "/status/readyReplicas")),
    number("Up-to-date", |o, _| integer(o, "/status/updatedReplicas")),
    number("Available", |o, _| integer(o, "/status/availableReplicas")),
    age_column(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub static REPLICA_SET: [Column; 8] = [
    name(),
    number("Desired", |o, _| integer(o, "/spec/replicas")),
    number("Current", |o, _| integer(o, "/status/replicas")),
    number("Ready", |o, _| integer(o, "/status/readyReplicas")),
    age_column(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub static REPLICATION_CONTROLLER: [Column; 8] = [
    name(),
    number("Desired", |o, _| integer(o, "/spec/replicas")),
    number("Current", |o, _| integer(o, "/status/replicas")),
    number("Ready", |o, _| integer(o, "/status/readyReplicas")),
    age_column(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub static STATEFUL_SET: [Column; 5] =
    [name(), text("Ready", |o, _| of_desired(o, "/status/readyReplicas")), age_column(), CONTAINERS, IMAGES];
pub static DAEMON_SET: [Column; 11] = [
    name(),
    number("Desired", |o, _| integer(o, "/status/desiredNumberScheduled")),
    number("Current", |o, _| integer(o, "/status/currentNumberScheduled")),
    number("Ready", |o, _| integer(o, "/status/numberReady")),
    number("Up-to-date", |o, _| integer(o, "/status/updatedNumberScheduled")),
    number("Available", |o, _| integer(o, "/status/numberAvailable")),
    text("Node Selector", |o, _| shown(Some(&selector_text(&o["spec"]["template"]["spec"]["nodeSelector"])))),
    age_column(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub static JOB: [Column; 8] = [
    name(),
    text("Status", job_status),
    text("Completions", |o, _| {
        let done = json::integer(o, "/status/succeeded").unwrap_or(0);
        json!(format!("{done}/{}", json::integer(o, "/spec/completions").unwrap_or(1)))
    }),
    text("Duration", job_duration),
    age_column(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn job_status(job: &Value, _: Timestamp) -> Value {
    let is =
        |kind: &str| json::items(job, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True");
    let order = [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
    ];
    let known = order.iter().find(|(kind, _)| is(kind)).map(|(_, shown)| *shown);
    json!(known.unwrap_or(if json::is_terminating(job) { "Terminating" } else { "Running" }))
}

fn job_duration(job: &Value, now: Timestamp) -> Value {
    let start = json::text(job, "/status/startTime");
    let end = json::text(job, "/status/completionTime").and_then(|t| Timestamp::parse(t).ok());
    match start.and_then(|t| Timestamp::parse(t).ok()) {
        Some(start) => json!(human_duration((end.unwrap_or(now) - start).0.div_euclid(1000))),
        None => json!(""),
    }
}

pub static CRON_JOB: [Column; 10] = [
    name(),
    text("Schedule", |o, _| o["spec"]["schedule"].clone()),
    text("Timezone", |o, _| shown(json::text(o, "/spec/timeZone"))),
    text("Suspend", |o, _| json!(if json::flag(o, "/spec/suspend") { "True" } else { "False" })),
    number("Active", |o, _| json!(json::items(o, "/status/active").len())),
    text("Last Schedule", |o, now| match json::text(o, "/status/lastScheduleTime") {
        Some(at) => json!(age(Some(at), now)),
        None => json!("<none>"),
    }),
    age_column(),
    wide("Containers", |o, _| containers(o, "/spec/jobTemplate/spec/template", "name")),
    wide("Images", |o, _| containers(o, "/spec/jobTemplate/spec/template", "image")),
    wide("Selector", |_, _| json!("<none>")),
];
pub static AUTOSCALER: [Column; 7] = [
    name(),
    text("Reference", |o, _| {
        let target = &o["spec"]["scaleTargetRef"];
        json!(format!(
            "{}/{}",
            json::text(target, "/kind").unwrap_or_default(),
            json::text(target, "/name").unwrap_or_default()
        ))
    }),
    text("Targets", |o, _| json!(targets(o))),
    text("MinPods", |o, _| {
        json!(json::integer(o, "/spec/minReplicas").map_or("<unset>".to_owned(), |n| n.to_string()))
    }),
    number("MaxPods", |o, _| integer(o, "/spec/maxReplicas")),
    number("Replicas", |o, _| integer(o, "/status/currentReplicas")),
    age_column(),
];

fn source_of(metric: &Value) -> &Value {
    ["resource", "containerResource", "pods", "object", "external"]
        .iter()
        .find_map(|s| metric.get(*s))
        .unwrap_or(&Value::Null)
}

fn amount(value: &Value) -> Option<String> {
    if let Some(percent) = json::integer(value, "/averageUtilization") {
        return Some(format!("{percent}%"));
    }
    json::text(value, "/averageValue").or_else(|| json::text(value, "/value")).map(str::to_owned)
}

fn targets(autoscaler: &Value) -> String {
    const MAX_SHOWN: usize = 2;
    if let Some(percent) = json::integer(autoscaler, "/spec/targetCPUUtilizationPercentage") {
        let current = json::integer(autoscaler, "/status/currentCPUUtilizationPercentage");
        return format!("cpu: {}/{percent}%", current.map_or("<unknown>".to_owned(), |c| format!("{c}%")));
    }
    let current = json::items(autoscaler, "/status/currentMetrics");
    let mut shown: Vec<String> = Vec::new();
    for (index, metric) in json::items(autoscaler, "/spec/metrics").iter().enumerate() {
        let source = source_of(metric);
        let now =
            current.get(index).and_then(|c| amount(&source_of(c)["current"])).unwrap_or_else(|| "<unknown>".to_owned());
        let wanted = amount(&source["target"]).unwrap_or_else(|| "<unknown>".to_owned());
        let label = json::text(source, "/name").map(|n| format!("{n}: ")).unwrap_or_default();
        shown.push(format!("{label}{now}/{wanted}"));
    }
    if shown.is_empty() {
        return "<none>".to_owned();
    }
    let more = shown.len().saturating_sub(MAX_SHOWN);
    shown.truncate(MAX_SHOWN);
    let list = shown.join(", ");
    if more > 0 { format!("{list} + {more} more...") } else { list }
}
