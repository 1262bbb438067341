//! Parameters, variables, ids, scopes and run-time values.

use serde_json::{Value, json};

use super::Call;
use crate::expression::evaluate::text_of;
use crate::expression::{Evaluated, ExpressionError};

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    let scope = call.context.scope;
    Some(match name {
        "parameters" => call.text(0).and_then(|name| call.context.parameter(name)),
        "variables" => call.text(0).and_then(|name| call.context.variable(name)),
        "subscription" => Ok(json!({
            "id": format!("/subscriptions/{}", scope.subscription_id),
            "subscriptionId": scope.subscription_id,
            "tenantId": scope.tenant_id,
            "displayName": scope.subscription_name,
        })),
        "tenant" => Ok(json!({ "tenantId": scope.tenant_id, "displayName": "marea", "countryCode": "ES" })),
        "resourcegroup" => match &scope.group {
            Some(group) => Ok(group.clone()),
            None => call.fail("is only available in a deployment to a resource group"),
        },
        "deployment" => Ok(scope.deployment.clone()),
        "deployer" => Ok(json!({ "objectId": scope.principal_id, "tenantId": scope.tenant_id })),
        "environment" => Ok(environment()),
        "resourceid" => resource_id(call),
        "subscriptionresourceid" => subscription_resource_id(call),
        "tenantresourceid" => typed(call, String::new(), 0),
        "extensionresourceid" => call.text(0).and_then(|base| typed(call, base.to_owned(), 1)),
        "reference" => reference(call),
        "list" => Err(ExpressionError::new("The template function 'list' needs the name of an action.")),
        _ if name.starts_with("list") => list(name, call),
        _ => return None,
    })
}

/// The embedded cloud calls itself by the names that templates expect of the public one.
fn environment() -> Value {
    json!({
        "name": "AzureCloud",
        "resourceManager": "https://management.azure.com/",
        "authentication": { "loginEndpoint": "https://login.microsoftonline.com/", "tenant": "common", "identityProvider": "AAD" },
        "suffixes": { "postgresqlServerEndpoint": ".postgres.database.azure.com", "keyvaultDns": ".vault.azure.net", "storage": "core.windows.net" },
    })
}

/// `{base}/providers/Type` with the names that follow the type at `at`.
fn typed(call: &Call<'_>, base: String, at: usize) -> Evaluated {
    let resource_type = call.text(at)?;
    let names: Vec<String> = call.values[at + 1..]
        .iter()
        .map(text_of)
        .flat_map(|name| name.split('/').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut parts = resource_type.split('/');
    let namespace = parts.next().unwrap_or_default();
    let types: Vec<&str> = parts.collect();
    if types.is_empty() || types.len() != names.len() {
        return call.fail(format!(
            "was given {} names for the type '{resource_type}', which has {} segments",
            names.len(),
            types.len()
        ));
    }
    let path: String = types.iter().zip(&names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
    if resource_type.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
        return Ok(format!("{base}/resourceGroups/{}", names[0]).into());
    }
    Ok(format!("{base}/providers/{namespace}{path}").into())
}

/// Optional subscription and group come before the type, which is the first argument with a slash.
fn resource_id(call: &Call<'_>) -> Evaluated {
    let scope = call.context.scope;
    let Some(at) = call.values.iter().position(|value| value.as_str().is_some_and(|text| text.contains('/'))) else {
        return call.fail("was given no resource type");
    };
    let default_group = scope.group_name.as_deref();
    let (subscription, group) = match at {
        0 => (scope.subscription_id.as_str(), default_group),
        1 if default_group.is_some() => (scope.subscription_id.as_str(), Some(call.text(0)?)),
        1 => (call.text(0)?, None),
        2 => (call.text(0)?, Some(call.text(1)?)),
        _ => return call.fail("has too many arguments before the resource type"),
    };
    let base = match group {
        Some(group) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
        None => format!("/subscriptions/{subscription}"),
    };
    typed(call, base, at)
}

fn subscription_resource_id(call: &Call<'_>) -> Evaluated {
    if call.text(0)?.contains('/') {
        return typed(call, format!("/subscriptions/{}", call.context.scope.subscription_id), 0);
    }
    typed(call, format!("/subscriptions/{}", call.text(0)?), 1)
}

fn reference(call: &Call<'_>) -> Evaluated {
    call.count(1..=3)?;
    let full = call.values.get(2).and_then(Value::as_str).is_some_and(|mode| mode.eq_ignore_ascii_case("full"));
    match call.context.run_time {
        Some(run_time) => run_time.reference(call.text(0)?, full),
        None => call.fail("is not expected at this location: it needs a value of the run time"),
    }
}

fn list(name: &str, call: &Call<'_>) -> Evaluated {
    match call.context.run_time {
        Some(run_time) => run_time.list(name, call.text(0)?),
        None => call.fail("is not expected at this location: it needs a value of the run time"),
    }
}
