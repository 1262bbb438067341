//! Where a Service's connections may go: the endpoints of its EndpointSlices, chosen as kube-proxy chooses them.

use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// The addresses that a port of a Service leads to, sorted. Ready endpoints; while none is ready, those that still serve
/// though they terminate (pkg/proxy/topology.go of Kubernetes 1.36, `ProxyTerminatingEndpoints`).
pub fn addresses<'a>(port: &ServicePort, slices: impl Iterator<Item = &'a EndpointSlice> + Clone) -> Vec<SocketAddrV4> {
    let ready = collect(port, slices.clone(), |ready, _, _| ready);
    if !ready.is_empty() {
        return ready;
    }
    collect(port, slices, |_, serving, terminating| serving && terminating)
}

fn collect<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    admit: impl Fn(bool, bool, bool) -> bool,
) -> Vec<SocketAddrV4> {
    let mut found = Vec::new();
    for slice in slices {
        let Some(number) = target_port(port, slice) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // An absent condition means ready, and serving follows ready (discovery/v1 types).
            let ready = conditions.ready.unwrap_or(true);
            let serving = conditions.serving.unwrap_or(ready);
            if !admit(ready, serving, conditions.terminating.unwrap_or(false)) {
                continue;
            }
            let parsed = endpoint.addresses.iter().filter_map(|address| address.parse::<Ipv4Addr>().ok());
            found.extend(parsed.map(|address| SocketAddrV4::new(address, number)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Slices name their ports as the Service does; the names match, and an unnamed port matches the unnamed one.
fn target_port(port: &ServicePort, slice: &EndpointSlice) -> Option<u16> {
    let wanted = port.name.as_deref().unwrap_or("");
    let found = slice.ports.iter().flatten().find(|candidate| candidate.name.as_deref().unwrap_or("") == wanted)?;
    found.port.and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(endpoints: serde_json::Value, expected: &[&str]) {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "web-1"}, "addressType": "IPv4",
            "ports": [{"name": "metrics", "port": 9000}, {"name": "http", "port": 8080}], "endpoints": endpoints,
        }))
        .unwrap();
        let port: ServicePort = serde_json::from_value(json!({"name": "http", "port": 80})).unwrap();
        let found: Vec<String> = addresses(&port, std::iter::once(&slice)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_ready_endpoints_unless_all_terminate() {
        check(
            json!([
                {"addresses": ["127.17.0.9"], "conditions": {"ready": true}},
                {"addresses": ["127.17.0.4"]},
                {"addresses": ["127.17.0.5"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["127.17.0.6"], "conditions": {"ready": false}},
            ]),
            &["127.17.0.4:8080", "127.17.0.9:8080"],
        );
        check(
            json!([
                {"addresses": ["127.17.0.5"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["127.17.0.6"], "conditions": {"ready": false, "serving": false, "terminating": true}},
            ]),
            &["127.17.0.5:8080"],
        );
        check(json!([{"addresses": ["127.17.0.6"], "conditions": {"ready": false}}]), &[]);
    }
}
