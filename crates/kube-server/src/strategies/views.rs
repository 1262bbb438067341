//! Versions that are served from what another one stores.

use serde_json::{Value, json};

use crate::json;
use crate::registry::View;

/// `events.k8s.io/v1`, stored as core events.
pub const EVENTS: View = View { of: "events", from_stored: event_from_core, to_stored: event_to_core };

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

fn rename(object: &mut Value, from: &str, to: &str) {
    let Some(map) = object.as_object_mut() else { return };
    if let Some(value) = map.shift_remove(from) {
        map.insert(to.to_owned(), value);
    }
}

fn event_from_core(stored: &Value) -> Value {
    let mut event = stored.clone();
    event["apiVersion"] = json!("events.k8s.io/v1");
    EVENT_FIELDS.iter().for_each(|(view, core)| rename(&mut event, core, view));
    event
}

fn event_to_core(mut event: Value) -> Value {
    event["apiVersion"] = json!("v1");
    EVENT_FIELDS.iter().for_each(|(view, core)| rename(&mut event, view, core));
    json::default(&mut event, "involvedObject", json!({}));
    event
}

/// `autoscaling/v1`, stored as `autoscaling/v2`.
pub const AUTOSCALER_V1: View =
    View { of: "horizontalpodautoscalers.autoscaling", from_stored: autoscaler_from_v2, to_stored: autoscaler_to_v2 };

/// Where upstream keeps what v1 cannot express.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"]["target"].get("averageUtilization").is_some()
}

fn autoscaler_from_v2(stored: &Value) -> Value {
    let mut view = stored.clone();
    view["apiVersion"] = json!("autoscaling/v1");
    let metrics = json::items(stored, "/spec/metrics").to_vec();
    let spec = json::object(&mut view, "spec");
    json::remove(spec, "metrics");
    let behavior = spec.get("behavior").cloned();
    json::remove(spec, "behavior");
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(is_cpu);
    if let Some(metric) = cpu.first() {
        spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"].clone();
    }
    let annotations =
        [(METRICS_ANNOTATION, (!others.is_empty()).then_some(Value::Array(others))), (BEHAVIOR_ANNOTATION, behavior)];
    for (name, value) in annotations {
        if let Some(value) = value {
            json::object(json::object(&mut view, "metadata"), "annotations")[name] = json!(value.to_string());
        }
    }
    if let Some(status) = view.get_mut("status") {
        let current = json::items(status, "/currentMetrics").iter().find(|m| m["resource"]["name"] == "cpu").cloned();
        for field in ["currentMetrics", "conditions"] {
            json::remove(status, field);
        }
        json::default(status, "currentReplicas", 0);
        json::default(status, "desiredReplicas", 0);
        let percent = current.and_then(|m| m.pointer("/resource/current/averageUtilization").cloned());
        json::assign(status, "currentCPUUtilizationPercentage", percent);
    }
    view
}

fn autoscaler_to_v2(mut view: Value) -> Value {
    view["apiVersion"] = json!("autoscaling/v2");
    let mut kept = |name: &str| -> Option<Value> {
        let annotations = view.pointer_mut("/metadata/annotations")?.as_object_mut()?;
        annotations.shift_remove(name)?.as_str().and_then(|text| serde_json::from_str(text).ok())
    };
    let (others, behavior) = (kept(METRICS_ANNOTATION), kept(BEHAVIOR_ANNOTATION));
    let spec = json::object(&mut view, "spec");
    let percent = spec.get("targetCPUUtilizationPercentage").cloned();
    json::remove(spec, "targetCPUUtilizationPercentage");
    let mut metrics = Vec::new();
    if let Some(percent) = percent {
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}));
    }
    metrics.extend(others.and_then(|o| o.as_array().cloned()).unwrap_or_default());
    json::assign(spec, "metrics", (!metrics.is_empty()).then_some(Value::Array(metrics)));
    json::assign(spec, "behavior", behavior);
    view
}
