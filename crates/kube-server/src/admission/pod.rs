//! Priority and the tolerations that let a pod outlive a short outage of its node.

use serde_json::{Value, json};

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";
const OUTAGE_SECONDS: i64 = 300;

/// A pod's priority is that of its class, else of the default class, else 0.
pub fn set_priority(tx: &Transaction<'_>, pod: &mut Value) -> Result<(), ApiError> {
    let named = json::text(pod, "/spec/priorityClassName").unwrap_or_default().to_owned();
    let class = if named.is_empty() {
        tx.list(CLASSES, None)
            .into_iter()
            .filter(|c| json::flag(c, "/globalDefault"))
            .max_by_key(|c| json::integer(c, "/value"))
    } else {
        let found = tx.get(CLASSES, None, &named);
        if found.is_none() {
            return Err(ApiError::forbidden(
                "pods",
                json::name(pod),
                &format!("no PriorityClass with name {named} was found"),
            ));
        }
        found
    };
    let spec = json::object(pod, "spec");
    let (value, policy) = match &class {
        Some(class) => {
            spec["priorityClassName"] = json!(json::name(class));
            (
                json::integer(class, "/value").unwrap_or(0),
                json::text(class, "/preemptionPolicy").unwrap_or("PreemptLowerPriority"),
            )
        }
        None => (0, "PreemptLowerPriority"),
    };
    spec["priority"] = json!(value);
    json::default(spec, "preemptionPolicy", policy);
    Ok(())
}

pub fn add_tolerations(pod: &mut Value) {
    let spec = json::object(pod, "spec");
    let mut tolerations = json::items(spec, "/tolerations").to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = tolerations.iter().any(|t| {
            let stated = json::text(t, "/key").unwrap_or_default();
            let effect = json::text(t, "/effect").unwrap_or_default();
            (stated == key || stated.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !covered {
            tolerations.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": OUTAGE_SECONDS}),
            );
        }
    }
    spec["tolerations"] = Value::Array(tolerations);
}
