//! Horizontal pod autoscalers (upstream: `pkg/apis/autoscaling/v2/defaults.go`, v1.36.3).

use serde_json::{Value, json};

use super::Strategy;
use crate::field::FieldErrors;
use crate::json;

pub struct Autoscaler;
pub static AUTOSCALER: Autoscaler = Autoscaler;

/// What upstream assumes when no metric is named.
const DEFAULT_CPU_PERCENT: i64 = 80;

impl Strategy for Autoscaler {
    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(spec, "minReplicas", 1);
        if json::items(spec, "/metrics").is_empty() {
            spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": DEFAULT_CPU_PERCENT}}}]);
        }
        let Some(behavior) = spec.get_mut("behavior") else { return };
        let up = json::object(behavior, "scaleUp");
        json::default(up, "stabilizationWindowSeconds", 0);
        json::default(up, "selectPolicy", "Max");
        json::default(
            up,
            "policies",
            json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
        let down = json::object(behavior, "scaleDown");
        json::default(down, "selectPolicy", "Max");
        json::default(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null});
        json::remove(&mut object["status"], "currentMetrics");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let spec = &object["spec"];
        let (least, most) =
            (json::integer(spec, "/minReplicas").unwrap_or(1), json::integer(spec, "/maxReplicas").unwrap_or(0));
        if least < 1 {
            errors.invalid("spec.minReplicas", &json!(least), "must be greater than or equal to 1");
        }
        if most < 1 {
            errors.invalid("spec.maxReplicas", &json!(most), "must be greater than 0");
        } else if most < least {
            errors.invalid("spec.maxReplicas", &json!(most), "must be greater than or equal to `minReplicas`");
        }
        for field in ["kind", "name"] {
            if json::text(spec, &format!("/scaleTargetRef/{field}")).unwrap_or_default().is_empty() {
                errors.required(format!("spec.scaleTargetRef.{field}"), "");
            }
        }
        for (index, metric) in json::items(spec, "/metrics").iter().enumerate() {
            validate_metric(metric, &format!("spec.metrics[{index}]"), errors);
        }
        for direction in ["scaleUp", "scaleDown"] {
            validate_rules(spec, direction, errors);
        }
    }
}

fn validate_metric(metric: &Value, path: &str, errors: &mut FieldErrors) {
    let kind = json::text(metric, "/type").unwrap_or_default();
    let source = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        "" => return errors.required(format!("{path}.type"), "must specify a metric source type"),
        other => {
            let supported = ["ContainerResource", "External", "Object", "Pods", "Resource"];
            return errors.not_supported(format!("{path}.type"), &json!(other), &supported);
        }
    };
    let Some(source_value) = metric.get(source) else {
        return errors.required(format!("{path}.{source}"), "must populate information for the given metric source");
    };
    let target = &source_value["target"];
    if json::text(target, "/type").unwrap_or_default().is_empty() {
        errors.required(format!("{path}.{source}.target.type"), "must specify a metric target type");
    }
    if json::integer(target, "/averageUtilization").is_some_and(|percent| percent < 1) {
        errors.invalid(
            format!("{path}.{source}.target.averageUtilization"),
            &target["averageUtilization"],
            "must be greater than 0",
        );
    }
}

fn validate_rules(spec: &Value, direction: &str, errors: &mut FieldErrors) {
    let Some(rules) = spec.pointer(&format!("/behavior/{direction}")) else { return };
    let path = format!("spec.behavior.{direction}");
    if let Some(window) = json::integer(rules, "/stabilizationWindowSeconds").filter(|w| !(0..=3600).contains(w)) {
        let detail =
            if window < 0 { "must be greater than or equal to zero" } else { "must be less than or equal to 3600" };
        errors.invalid(format!("{path}.stabilizationWindowSeconds"), &json!(window), detail);
    }
    for (index, policy) in json::items(rules, "/policies").iter().enumerate() {
        if json::integer(policy, "/value").unwrap_or(0) <= 0 {
            errors.invalid(format!("{path}.policies[{index}].value"), &policy["value"], "must be greater than zero");
        }
        if !(1..=1800).contains(&json::integer(policy, "/periodSeconds").unwrap_or(0)) {
            errors.invalid(
                format!("{path}.policies[{index}].periodSeconds"),
                &policy["periodSeconds"],
                "must be greater than zero and at most 1800",
            );
        }
    }
}
