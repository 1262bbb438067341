//! What deployments, replica sets, stateful sets and daemon sets have in common: a selector and a template.

use serde_json::{Value, json};

use kube_store::selector::LabelSelector;

use super::{pod_spec, quantities};
use crate::field::FieldErrors;
use crate::json;

pub fn default_template(object: &mut Value) {
    let template = json::object(json::object(object, "spec"), "template");
    json::object(template, "metadata");
    pod_spec::default(json::object(template, "spec"));
}

/// `restart` lists the restart policies that the workload allows.
pub fn validate(object: &Value, restart: &[&str], errors: &mut FieldErrors) {
    quantities::non_negative(object, "/spec/replicas", errors);
    quantities::non_negative(object, "/spec/minReadySeconds", errors);
    quantities::non_negative(object, "/spec/revisionHistoryLimit", errors);
    validate_selector(object, errors);
    let spec = &object["spec"]["template"]["spec"];
    pod_spec::validate(spec, "spec.template.spec", errors);
    pod_spec::supported(spec, "restartPolicy", "spec.template.spec", restart, errors);
}

fn validate_selector(object: &Value, errors: &mut FieldErrors) {
    let selector = &object["spec"]["selector"];
    let empty = |field: &str| {
        selector
            .get(field)
            .is_none_or(|v| v.as_object().is_none_or(|m| m.is_empty()) && v.as_array().is_none_or(Vec::is_empty))
    };
    if selector.as_object().is_none_or(|s| s.is_empty()) {
        return errors.required("spec.selector", "");
    }
    if empty("matchLabels") && empty("matchExpressions") {
        return errors.invalid("spec.selector", selector, "empty selector is invalid for deployment");
    }
    let template = &object["spec"]["template"];
    match LabelSelector::from_value(selector) {
        Err(error) => errors.invalid("spec.selector", selector, &error.to_string()),
        Ok(selector) if !selector.matches(template) => {
            let labels = template["metadata"].get("labels").cloned().unwrap_or_else(|| json!({}));
            errors.invalid("spec.template.metadata.labels", &labels, "`selector` does not match template `labels`");
        }
        Ok(_) => {}
    }
}

pub fn immutable(object: &Value, old: &Value, pointer: &str, errors: &mut FieldErrors) {
    let (new, old) = (object.pointer(pointer), old.pointer(pointer));
    if new != old {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        errors.invalid(field, new.unwrap_or(&Value::Null), "field is immutable");
    }
}
