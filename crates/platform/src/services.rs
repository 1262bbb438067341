//! Services that the cloud gives a public address.

use serde_json::Value;

/// A Service of type LoadBalancer without AKS's annotation that keeps it inside the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicService {
    pub namespace: String,
    pub name: String,
    /// Each port is one rule of the load balancer.
    pub ports: u32,
}

impl PublicService {
    pub(crate) fn read(manifest: &Value) -> Option<PublicService> {
        if manifest["kind"] != "Service" || manifest["spec"]["type"] != "LoadBalancer" {
            return None;
        }
        let metadata = &manifest["metadata"];
        if metadata["annotations"]["service.beta.kubernetes.io/azure-load-balancer-internal"] == "true" {
            return None;
        }
        let ports = manifest["spec"]["ports"].as_array().map_or(0, Vec::len);
        Some(PublicService {
            namespace: metadata["namespace"].as_str().unwrap_or("default").to_owned(),
            name: metadata["name"].as_str()?.to_owned(),
            ports: u32::try_from(ports).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, internal: &str, expected: Option<u32>) {
        let manifest = json!({"kind": "Service", "metadata": {"name": "web", "annotations": {"service.beta.kubernetes.io/azure-load-balancer-internal": internal}},
            "spec": {"type": kind, "ports": [{"port": 80}, {"port": 443}]}});
        assert_eq!(PublicService::read(&manifest).map(|service| service.ports), expected, "{kind} {internal}");
    }

    #[test]
    fn only_load_balancers_with_a_public_address_count() {
        check("LoadBalancer", "false", Some(2));
        check("LoadBalancer", "true", None);
        check("ClusterIP", "false", None);
    }
}
