//! Services: addresses and ports are allocated here, under the writers' lock, from what other services hold.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Strategy, names, pod_spec};
use crate::api::Transaction;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;

pub struct Service;
pub static SERVICE: Service = Service;

const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;
/// The first addresses of the range are for fixed services (the API, DNS), as upstream's static band.
const STATIC_BAND: u32 = 256;

fn kind(spec: &Value) -> &str {
    json::text(spec, "/type").unwrap_or("ClusterIP")
}

fn exposes_nodes(spec: &Value) -> bool {
    match kind(spec) {
        "NodePort" => true,
        "LoadBalancer" => spec.get("allocateLoadBalancerNodePorts") != Some(&json!(false)),
        _ => false,
    }
}

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(spec, "type", "ClusterIP");
        json::default(spec, "sessionAffinity", "None");
        if spec["sessionAffinity"] == "ClientIP" {
            json::default(
                json::object(json::object(spec, "sessionAffinityConfig"), "clientIP"),
                "timeoutSeconds",
                10800,
            );
        }
        let external = kind(spec) == "ExternalName";
        if !external {
            json::default(spec, "internalTrafficPolicy", "Cluster");
            json::default(spec, "ipFamilies", json!(["IPv4"]));
            json::default(spec, "ipFamilyPolicy", "SingleStack");
        }
        if matches!(kind(spec), "NodePort" | "LoadBalancer") {
            json::default(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind(spec) == "LoadBalancer" {
            json::default(spec, "allocateLoadBalancerNodePorts", true);
        }
        for port in json::items_mut(spec, "/ports") {
            json::default(port, "protocol", "TCP");
            let number = port["port"].clone();
            json::default(port, "targetPort", number);
        }
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
    }

    fn prepare_create(&self, tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        allocate(tx, object, None)
    }

    fn prepare_update(&self, tx: &Transaction<'_>, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        let spec = json::object(object, "spec");
        if kind(spec) != "ExternalName" && kind(&old["spec"]) != "ExternalName" {
            for field in ["clusterIP", "clusterIPs"] {
                if let Some(kept) = old["spec"].get(field) {
                    json::default(spec, field, kept.clone());
                }
            }
        }
        if exposes_nodes(spec) {
            keep_node_ports(spec, &old["spec"]);
        }
        allocate(tx, object, Some(json::uid(old)))
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let spec = &object["spec"];
        pod_spec::supported(spec, "type", "spec", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], errors);
        pod_spec::supported(spec, "sessionAffinity", "spec", &["ClientIP", "None"], errors);
        if kind(spec) == "ExternalName" {
            if json::text(spec, "/externalName").unwrap_or_default().is_empty() {
                errors.required("spec.externalName", "");
            }
            return;
        }
        let ports = json::items(spec, "/ports");
        if ports.is_empty() && spec["clusterIP"] != "None" {
            errors.required("spec.ports", "");
        }
        validate_ports(ports, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        let (new, old) = (&object["spec"], &old["spec"]);
        let external = kind(new) == "ExternalName" || kind(old) == "ExternalName";
        if !external && new["clusterIP"] != old["clusterIP"] {
            errors.invalid("spec.clusterIPs[0]", &json!([new["clusterIP"]]), "may not change once set");
        }
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        names::label_1035_problem(name)
    }
}

fn validate_ports(ports: &[Value], errors: &mut FieldErrors) {
    let mut seen = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let number = json::integer(port, "/port").unwrap_or(0);
        if !(1..=65535).contains(&number) {
            errors.invalid(format!("{at}.port"), &json!(number), "must be between 1 and 65535, inclusive");
        }
        let name = json::text(port, "/name").unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            errors.required(format!("{at}.name"), "");
        } else if !name.is_empty() && seen.contains(&name) {
            errors.duplicate(format!("{at}.name"), &json!(name));
        }
        seen.push(name);
        pod_spec::supported(port, "protocol", &at, &["SCTP", "TCP", "UDP"], errors);
        if let Some(target) = json::integer(port, "/targetPort").filter(|t| !(1..=65535).contains(t)) {
            errors.invalid(format!("{at}.targetPort"), &json!(target), "must be between 1 and 65535, inclusive");
        }
    }
}

fn keep_node_ports(spec: &mut Value, old: &Value) {
    for port in json::items_mut(spec, "/ports") {
        let same =
            json::items(old, "/ports").iter().find(|o| o["port"] == port["port"] && o["protocol"] == port["protocol"]);
        if let Some(node_port) = same.and_then(|o| o.get("nodePort")) {
            json::default(port, "nodePort", node_port.clone());
        }
    }
}

/// Gives the service the address and node ports that it needs and has not.
fn allocate(tx: &Transaction<'_>, object: &mut Value, own_uid: Option<&str>) -> Result<(), ApiError> {
    let name = json::name(object).to_owned();
    let mut addresses = BTreeSet::new();
    let mut node_ports = BTreeSet::new();
    for other in tx.list("services", None) {
        if Some(json::uid(&other)) == own_uid {
            continue;
        }
        addresses.extend(json::text(&other, "/spec/clusterIP").and_then(|ip| ip.parse::<Ipv4Addr>().ok()));
        node_ports.extend(json::items(&other, "/spec/ports").iter().filter_map(|p| json::integer(p, "/nodePort")));
    }
    let spec = json::object(object, "spec");
    let mut errors = FieldErrors::default();
    match json::text(spec, "/clusterIP").unwrap_or_default() {
        _ if kind(spec) == "ExternalName" => {
            json::remove(spec, "clusterIP");
            json::remove(spec, "clusterIPs");
        }
        "" => {
            let address = free_address(tx, &addresses)?;
            spec["clusterIP"] = json!(address.to_string());
        }
        "None" => {}
        stated => check_address(tx, stated, &addresses, &mut errors),
    }
    if let Some(address) = spec.get("clusterIP").cloned() {
        spec["clusterIPs"] = json!([address]);
    }
    let exposed = exposes_nodes(spec);
    for (index, port) in json::items_mut(spec, "/ports").iter_mut().enumerate() {
        if !exposed {
            json::remove(port, "nodePort");
            continue;
        }
        node_port(port, index, &mut node_ports, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid("Service", &name, &errors)) }
}

fn check_address(tx: &Transaction<'_>, stated: &str, taken: &BTreeSet<Ipv4Addr>, errors: &mut FieldErrors) {
    let range = tx.settings().service_range;
    let shown = json!([stated]);
    match stated.parse::<Ipv4Addr>() {
        Err(_) => errors.invalid(
            "spec.clusterIPs[0]",
            &json!(stated),
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        Ok(address) if !range.contains(address) => {
            let detail = format!(
                "failed to allocate IP {stated}: the provided IP ({stated}) is not in the valid range. The range of valid IPs is {}/{}",
                range.base, range.prefix
            );
            errors.invalid("spec.clusterIPs", &shown, &detail);
        }
        Ok(address) if taken.contains(&address) => {
            let detail = format!("failed to allocate IP {stated}: provided IP is already allocated");
            errors.invalid("spec.clusterIPs", &shown, &detail);
        }
        Ok(_) => {}
    }
}

fn free_address(tx: &Transaction<'_>, taken: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, ApiError> {
    let range = tx.settings().service_range;
    let last = range.size() - 1;
    let band = STATIC_BAND.min(range.size() / 2);
    (band..last)
        .chain(1..band)
        .map(|index| range.address(index))
        .find(|address| !taken.contains(address))
        .ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))
}

fn node_port(port: &mut Value, index: usize, taken: &mut BTreeSet<i64>, errors: &mut FieldErrors) {
    let at = format!("spec.ports[{index}].nodePort");
    match json::integer(port, "/nodePort").filter(|p| *p != 0) {
        Some(stated) if !NODE_PORTS.contains(&stated) => {
            errors.invalid(
                at,
                &json!(stated),
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            );
        }
        Some(stated) if taken.contains(&stated) => {
            errors.invalid(at, &json!(stated), "provided port is already allocated")
        }
        Some(stated) => {
            taken.insert(stated);
        }
        None => match NODE_PORTS.into_iter().find(|p| !taken.contains(p)) {
            Some(free) => {
                taken.insert(free);
                port["nodePort"] = json!(free);
            }
            None => errors.invalid(at, &json!(0), "no node port is free"),
        },
    }
}
