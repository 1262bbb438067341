//! Parameters: given values against their definitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use units::Timestamp;

use crate::expression::{Context, DeploymentScope, evaluate_value};
use crate::fault::Fault;
use crate::state::TypedValue;

/// The values of all parameters, with defaults evaluated.
pub(crate) fn resolve_parameters(
    template: &Value,
    given: &Value,
    scope: &DeploymentScope,
    now: Timestamp,
) -> Result<BTreeMap<String, TypedValue>, Fault> {
    let empty = Map::new();
    let defined = template["parameters"].as_object().unwrap_or(&empty);
    let given = given.as_object().unwrap_or(&empty);
    let unknown: Vec<&str> = given
        .keys()
        .filter(|name| !defined.keys().any(|known| known.eq_ignore_ascii_case(name)))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(Fault::invalid_template(format!(
            "Deployment template validation failed: 'The following parameters were supplied, but do not correspond to any parameters defined in the template: '{}'. The parameters defined in the template are: '{}'.'.",
            unknown.join(", "),
            defined.keys().cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let mut resolved = BTreeMap::new();
    for (name, definition) in defined {
        let kind = definition["type"].as_str().unwrap_or("string").to_owned();
        let supplied = given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = match supplied {
            Some(supplied) => supplied_value(name, supplied)?,
            None => default_value(name, definition, &resolved, scope, now)?,
        };
        check_value(name, &kind, definition, &value)?;
        resolved.insert(name.clone(), TypedValue { kind, value });
    }
    Ok(resolved)
}

fn supplied_value(name: &str, supplied: &Value) -> Result<Value, Fault> {
    if supplied.get("reference").is_some() {
        return Err(Fault::not_offered(&format!("The Key Vault reference of parameter '{name}'")));
    }
    supplied.get("value").cloned().ok_or_else(|| {
        Fault::bad_request("InvalidDeploymentParameterValue", format!("The value of deployment parameter '{name}' is null. Please specify the value or use the parameter reference."))
    })
}

fn default_value(
    name: &str,
    definition: &Value,
    resolved: &BTreeMap<String, TypedValue>,
    scope: &DeploymentScope,
    now: Timestamp,
) -> Result<Value, Fault> {
    let Some(default) = definition.get("defaultValue") else {
        if definition["nullable"] == true {
            return Ok(Value::Null);
        }
        return Err(Fault::invalid_template(format!(
            "Deployment template validation failed: 'The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details.'."
        )));
    };
    let values: BTreeMap<String, Value> =
        resolved.iter().map(|(name, typed)| (name.clone(), typed.value.clone())).collect();
    let variables = Map::new();
    let context = Context { now: Some(now), ..Context::new(&values, &variables, scope) };
    evaluate_value(default, &context).map_err(|error| {
        Fault::invalid_template(format!(
            "Unable to process the default value of template parameter '{name}'. '{}'",
            error.0
        ))
    })
}

fn check_value(name: &str, kind: &str, definition: &Value, value: &Value) -> Result<(), Fault> {
    let invalid = |why: String| {
        Err(Fault::invalid_template(format!(
            "Deployment template validation failed: 'The provided value for the template parameter '{name}' is not valid. {why}'."
        )))
    };
    if value.is_null() && definition["nullable"] == true {
        return Ok(());
    }
    let fits = match kind.to_ascii_lowercase().as_str() {
        "string" | "securestring" => value.is_string(),
        "int" => value.is_i64() || value.is_u64(),
        "bool" => value.is_boolean(),
        "array" => value.is_array(),
        "object" | "secureobject" => value.is_object(),
        other => return invalid(format!("The type '{other}' is unknown.")),
    };
    if !fits {
        return invalid(format!("Expected a value of type '{kind}'."));
    }
    if definition["allowedValues"]
        .as_array()
        .is_some_and(|allowed| !allowed.contains(value) && !all_within(value, allowed))
    {
        return invalid(format!("The value is not part of the allowed value(s): '{}'.", definition["allowedValues"]));
    }
    let length = value
        .as_str()
        .map(|text| text.chars().count() as i64)
        .or_else(|| value.as_array().map(|items| items.len() as i64));
    for (limit, measured, is_minimum) in [
        ("minLength", length, true),
        ("maxLength", length, false),
        ("minValue", value.as_i64(), true),
        ("maxValue", value.as_i64(), false),
    ] {
        if let (Some(limit_value), Some(measured)) = (definition[limit].as_i64(), measured)
            && (if is_minimum { measured < limit_value } else { measured > limit_value })
        {
            return invalid(format!("{limit} is {limit_value}, but it is {measured}."));
        }
    }
    Ok(())
}

fn all_within(value: &Value, allowed: &[Value]) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| allowed.contains(item)))
}

/// Parameters or outputs as responses show them: the secure ones without their value.
pub(crate) fn shown_parameters(values: &BTreeMap<String, TypedValue>) -> Value {
    let shown = |typed: &TypedValue| {
        let kind = azure_type(&typed.kind);
        if typed.is_secure() { json!({ "type": kind }) } else { json!({ "type": kind, "value": typed.value }) }
    };
    values.iter().map(|(name, typed)| (name.clone(), shown(typed))).collect::<Map<_, _>>().into()
}

/// Azure echoes types with a capital letter.
fn azure_type(kind: &str) -> &'static str {
    match kind.to_ascii_lowercase().as_str() {
        "string" => "String",
        "securestring" => "SecureString",
        "int" => "Int",
        "bool" => "Bool",
        "array" => "Array",
        "secureobject" => "SecureObject",
        _ => "Object",
    }
}
