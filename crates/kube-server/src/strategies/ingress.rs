//! Ingresses and network policies.

use serde_json::{Value, json};

use super::{Strategy, pod_spec};
use crate::field::FieldErrors;
use crate::json;

pub struct Ingress;
pub static INGRESS: Ingress = Ingress;

impl Strategy for Ingress {
    fn has_generation(&self) -> bool {
        true
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        let spec = &object["spec"];
        if json::items(spec, "/rules").is_empty() && spec.get("defaultBackend").is_none() {
            errors.invalid("spec", spec, "either `defaultBackend` or `rules` must be specified");
        }
        for (index, rule) in json::items(spec, "/rules").iter().enumerate() {
            let http = format!("spec.rules[{index}].http");
            for (number, path) in json::items(rule, "/http/paths").iter().enumerate() {
                validate_path(path, &format!("{http}.paths[{number}]"), errors);
            }
        }
        if let Some(backend) = spec.get("defaultBackend") {
            validate_backend(backend, "spec.defaultBackend", errors);
        }
    }
}

fn validate_path(path: &Value, at: &str, errors: &mut FieldErrors) {
    let kind = json::text(path, "/pathType").unwrap_or_default();
    if kind.is_empty() {
        errors.required(format!("{at}.pathType"), "pathType must be specified");
    }
    pod_spec::supported(path, "pathType", at, &["Exact", "ImplementationSpecific", "Prefix"], errors);
    let text = json::text(path, "/path").unwrap_or_default();
    if !text.starts_with('/') && (kind != "ImplementationSpecific" || !text.is_empty()) {
        errors.invalid(format!("{at}.path"), &json!(text), "must be an absolute path");
    }
    validate_backend(&path["backend"], &format!("{at}.backend"), errors);
}

fn validate_backend(backend: &Value, at: &str, errors: &mut FieldErrors) {
    match (backend.get("service"), backend.get("resource")) {
        (None, None) => errors.required(at, "service or resource must be specified"),
        (Some(_), Some(_)) => errors.invalid(at, &json!(""), "cannot set both resource and service backends"),
        (Some(service), None) => {
            if json::text(service, "/name").unwrap_or_default().is_empty() {
                errors.required(format!("{at}.service.name"), "");
            }
            let port = &service["port"];
            if port.get("name").is_none() && port.get("number").is_none() {
                errors.required(format!("{at}.service.port"), "port name or number is required");
            }
        }
        (None, Some(_)) => {}
    }
}

pub struct NetworkPolicy;
pub static NETWORK_POLICY: NetworkPolicy = NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(spec, "podSelector", json!({}));
        for (rules, _) in [("/ingress", "from"), ("/egress", "to")] {
            for rule in json::items_mut(spec, rules) {
                for port in json::items_mut(rule, "/ports") {
                    json::default(port, "protocol", "TCP");
                }
            }
        }
        let mut kinds = vec![json!("Ingress")];
        if !json::items(spec, "/egress").is_empty() {
            kinds.push(json!("Egress"));
        }
        json::default(spec, "policyTypes", Value::Array(kinds));
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        for (index, kind) in json::items(object, "/spec/policyTypes").iter().enumerate() {
            if kind != "Ingress" && kind != "Egress" {
                errors.not_supported(format!("spec.policyTypes[{index}]"), kind, &["Egress", "Ingress"]);
            }
        }
    }
}
