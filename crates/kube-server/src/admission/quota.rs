//! Resource quotas. Usage is counted from the objects themselves under the writers' lock, so it can never be stale.

use serde_json::Value;
use units::Quantity;

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;
use crate::registry::ResourceDef;
use crate::strategies::quantities;

/// How much one object counts, in thousandths; 0 when the quota's item is not about it.
fn charge(item: &str, resource: &str, object: &Value) -> i64 {
    let is_pod = resource == "pods";
    if item == resource || item == format!("count/{resource}") {
        let finished =
            is_pod && item == "pods" && matches!(json::text(object, "/status/phase"), Some("Succeeded" | "Failed"));
        return if finished { 0 } else { 1000 };
    }
    match item {
        "services.nodeports" | "services.loadbalancers" if resource == "services" => {
            let kind = json::text(object, "/spec/type").unwrap_or_default();
            let counted = if item.ends_with("loadbalancers") {
                kind == "LoadBalancer"
            } else {
                matches!(kind, "NodePort" | "LoadBalancer")
            };
            i64::from(counted) * 1000
        }
        "requests.storage" if resource == "persistentvolumeclaims" => {
            quantities::parse(&object["spec"]["resources"]["requests"]["storage"]).map_or(0, Quantity::millis)
        }
        _ if is_pod => pod_charge(item, object),
        _ => 0,
    }
}

fn pod_charge(item: &str, pod: &Value) -> i64 {
    if matches!(json::text(pod, "/status/phase"), Some("Succeeded" | "Failed")) {
        return 0;
    }
    let (part, name) = match item.split_once('.') {
        Some((part @ ("requests" | "limits"), name)) => (part, name),
        None if item == "cpu" || item == "memory" => ("requests", item),
        _ => return 0,
    };
    let of = |container: &Value| quantities::parse(&container["resources"][part][name]).map_or(0, Quantity::millis);
    json::items(pod, "/spec/containers").iter().map(of).sum()
}

pub fn validate(tx: &Transaction<'_>, def: &ResourceDef, object: &Value) -> Result<(), ApiError> {
    let Some(namespace) = json::namespace(object) else { return Ok(()) };
    for quota in tx.list("resourcequotas", Some(namespace)) {
        for (item, hard) in quota["spec"]["hard"].as_object().into_iter().flatten() {
            let requested = charge(item, &def.resource, object);
            let Some(limit) = quantities::parse(hard).filter(|_| requested > 0) else { continue };
            let used: i64 =
                tx.list(&def.resource, Some(namespace)).iter().map(|o| charge(item, &def.resource, o)).sum();
            if used + requested > limit.millis() {
                let (requested, used) = (Quantity::from_millis(requested), Quantity::from_millis(used));
                let why = format!(
                    "exceeded quota: {}, requested: {item}={requested}, used: {item}={used}, limited: {item}={limit}",
                    json::name(&quota)
                );
                return Err(ApiError::forbidden(&def.qualified_plural(), json::name(object), &why));
            }
        }
    }
    Ok(())
}
