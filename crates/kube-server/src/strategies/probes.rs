//! Probes and lifecycle handlers.

use serde_json::Value;

use super::quantities;
use crate::field::FieldErrors;
use crate::json;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

fn default_http(handler: &mut Value) {
    if let Some(http) = handler.get_mut("httpGet") {
        json::default(http, "scheme", "HTTP");
        json::default(http, "path", "/");
    }
    if let Some(grpc) = handler.get_mut("grpc") {
        json::default(grpc, "service", "");
    }
}

pub fn default(container: &mut Value) {
    for name in PROBES {
        if let Some(probe) = container.get_mut(name) {
            json::default(probe, "timeoutSeconds", 1);
            json::default(probe, "periodSeconds", 10);
            json::default(probe, "successThreshold", 1);
            json::default(probe, "failureThreshold", 3);
            default_http(probe);
        }
    }
    for hook in ["/lifecycle/postStart", "/lifecycle/preStop"] {
        if let Some(handler) = container.pointer_mut(hook) {
            default_http(handler);
        }
    }
}

pub fn validate(container: &Value, path: &str, errors: &mut FieldErrors) {
    for name in PROBES {
        let Some(probe) = container.get(name) else { continue };
        let handlers = HANDLERS.iter().filter(|h| probe.get(**h).is_some()).count();
        if handlers == 0 {
            errors.required(format!("{path}.{name}"), "must specify a handler type");
        } else if handlers > 1 {
            errors.forbidden(format!("{path}.{name}"), "may not specify more than 1 handler type");
        }
        let mut inner = FieldErrors::default();
        for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            quantities::non_negative(probe, &format!("/{field}"), &mut inner);
        }
        errors.nest(&format!("{path}.{name}"), inner);
        if name != "readinessProbe" && json::integer(probe, "/successThreshold").is_some_and(|n| n != 1) {
            errors.invalid(format!("{path}.{name}.successThreshold"), &probe["successThreshold"], "must be 1");
        }
    }
}
