//! Fields of the pod and of its resources, for environment variables and downward API volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, ObjectFieldSelector, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What is known of a running pod before its status says so.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub pod: &'a Pod,
    pub pod_ip: String,
    pub host_ip: String,
    pub node: Option<&'a Node>,
}

impl Facts<'_> {
    pub(crate) fn field(&self, selector: &ObjectFieldSelector) -> Result<String, String> {
        let metadata = &self.pod.metadata;
        let spec = self.pod.spec.as_ref();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let path = selector.field_path.as_str();
        if let Some((map, key)) = subscript(path) {
            let map = match map {
                "metadata.labels" => &metadata.labels,
                "metadata.annotations" => &metadata.annotations,
                _ => return Err(format!("fieldPath `{path}` is not supported")),
            };
            return Ok(text(map.as_ref().and_then(|map| map.get(key))));
        }
        Ok(match path {
            "metadata.name" => text(metadata.name.as_ref()),
            "metadata.namespace" => text(metadata.namespace.as_ref()),
            "metadata.uid" => text(metadata.uid.as_ref()),
            "metadata.labels" => lines(metadata.labels.as_ref()),
            "metadata.annotations" => lines(metadata.annotations.as_ref()),
            "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
            "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
            "status.podIP" | "status.podIPs" => self.pod_ip.clone(),
            "status.hostIP" | "status.hostIPs" => self.host_ip.clone(),
            _ => return Err(format!("fieldPath `{path}` is not supported")),
        })
    }

    /// `container` is the one that the selector is on, unless it names another.
    pub(crate) fn resource(
        &self,
        selector: &ResourceFieldSelector,
        container: Option<&Container>,
    ) -> Result<String, String> {
        let named = selector.container_name.as_deref();
        let spec = self.pod.spec.as_ref();
        let find =
            |name: &str| spec.into_iter().flat_map(|spec| &spec.containers).find(|container| container.name == name);
        let container = match named {
            Some(name) => find(name).ok_or_else(|| format!("container `{name}` not found"))?,
            None => container.ok_or("a resource field of a volume needs a containerName")?,
        };
        let (kind, name) = selector
            .resource
            .split_once('.')
            .ok_or_else(|| format!("resource `{}` is not supported", selector.resource))?;
        let resources = container.resources.as_ref();
        let set = match kind {
            "limits" => resources.and_then(|resources| resources.limits.as_ref()),
            "requests" => resources.and_then(|resources| resources.requests.as_ref()),
            _ => return Err(format!("resource `{}` is not supported", selector.resource)),
        };
        let own = set.and_then(|set| set.get(name));
        // A container without a limit may use what its node has.
        let allocatable = || self.node?.status.as_ref()?.allocatable.as_ref()?.get(name);
        let quantity = own.or_else(|| if kind == "limits" { allocatable() } else { None });
        let divisor = selector.divisor.as_ref().map(nanos).filter(|divisor| *divisor > 0).unwrap_or(1_000_000_000);
        let value = quantity.map_or(0, nanos);
        Ok(((value + divisor - 1) / divisor).to_string())
    }
}

/// In billionths, so that both `1m` and `1Mi` divide exactly enough.
fn nanos(quantity: &Quantity) -> i128 {
    quantity.0.parse::<units::Quantity>().map_or(0, |parsed| i128::from(parsed.millis()) * 1_000_000)
}

/// `metadata.labels['app']` → (`metadata.labels`, `app`)
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// `key="escaped value"` a line, sorted, as upstream's `FormatMap`.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_fields_and_divides_resources() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "labels": {"app": "web", "tier": "a\"b"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}]},
        }))
        .unwrap();
        let facts = Facts { pod: &pod, pod_ip: "127.17.0.4".into(), host_ip: "127.18.0.4".into(), node: None };
        let field = |path: &str| facts.field(&ObjectFieldSelector { field_path: path.into(), ..Default::default() });
        assert_eq!(field("metadata.labels['app']"), Ok("web".into()));
        assert_eq!(field("metadata.labels"), Ok("app=\"web\"\ntier=\"a\\\"b\"".into()));
        assert_eq!(field("status.podIP"), Ok("127.17.0.4".into()));
        assert!(field("spec.subdomain").is_err());
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let resource = |name: &str, divisor: &str| {
            let selector = ResourceFieldSelector {
                resource: name.into(),
                divisor: Some(Quantity(divisor.into())),
                ..Default::default()
            };
            facts.resource(&selector, Some(container))
        };
        assert_eq!(resource("limits.cpu", "1"), Ok("2".into()));
        assert_eq!(resource("limits.cpu", "1m"), Ok("1500".into()));
        assert_eq!(resource("limits.memory", "1Mi"), Ok("1024".into()));
        assert_eq!(resource("requests.cpu", "1"), Ok("0".into()));
    }
}
