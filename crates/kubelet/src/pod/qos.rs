//! The quality-of-service class (pkg/apis/core/helper/qos of Kubernetes 1.36).

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

pub(crate) fn class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let containers: Vec<&Container> = spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    let any =
        |map: &Option<BTreeMap<String, Quantity>>| ["cpu", "memory"].iter().any(|name| positive(map, name).is_some());
    let mentioned = containers.iter().any(|container| {
        container.resources.as_ref().is_some_and(|resources| any(&resources.requests) || any(&resources.limits))
    });
    if !mentioned {
        return "BestEffort";
    }
    if containers.iter().all(|container| guaranteed(container)) { "Guaranteed" } else { "Burstable" }
}

/// Both limits are set, and requests, where given, equal them.
fn guaranteed(container: &Container) -> bool {
    let Some(resources) = &container.resources else { return false };
    ["cpu", "memory"].iter().all(|name| {
        let limit = positive(&resources.limits, name);
        let request = positive(&resources.requests, name);
        limit.is_some() && (request.is_none() || request == limit)
    })
}

/// In thousandths, if set and not zero.
fn positive(map: &Option<BTreeMap<String, Quantity>>, name: &str) -> Option<i64> {
    let quantity = map.as_ref()?.get(name)?;
    let parsed: units::Quantity = quantity.0.parse().ok()?;
    Some(parsed.millis()).filter(|millis| *millis > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn follows_requests_and_limits() {
        let check = |resources: serde_json::Value, expected: &str| {
            let pod: Pod =
                serde_json::from_value(json!({"spec": {"containers": [{"name": "a", "resources": resources}]}}))
                    .unwrap();
            assert_eq!(class(&pod), expected);
        };
        check(json!({}), "BestEffort");
        check(json!({"requests": {"cpu": "1"}}), "Burstable");
        check(json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed");
        check(json!({"requests": {"cpu": "1000m"}, "limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed");
        check(json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}), "Burstable");
    }
}
