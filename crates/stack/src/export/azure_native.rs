//! ARM templates as programs of Pulumi's azure-native provider.
//!
//! The provider's inputs are ARM's bodies with every `properties` object merged into what holds it, and the segments of a
//! name as properties of their own.

use arm_model::resources::Deployment;
use arm_model::{Resource, Template};
use serde_json::{Map, Value, json};

use super::references::{Known, translate};
use super::{ExportError, Program};

/// Type → the provider's token and the properties that hold the name's segments.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("Microsoft.Resources/resourceGroups", "azure-native:resources:ResourceGroup", &["resourceGroupName"]),
    (
        "Microsoft.Network/networkSecurityGroups",
        "azure-native:network:NetworkSecurityGroup",
        &["networkSecurityGroupName"],
    ),
    ("Microsoft.Network/virtualNetworks", "azure-native:network:VirtualNetwork", &["virtualNetworkName"]),
    (
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        "azure-native:network:VirtualNetworkPeering",
        &["virtualNetworkName", "virtualNetworkPeeringName"],
    ),
    ("Microsoft.Network/privateDnsZones", "azure-native:privatedns:PrivateZone", &["privateZoneName"]),
    (
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "azure-native:privatedns:VirtualNetworkLink",
        &["privateZoneName", "virtualNetworkLinkName"],
    ),
    (
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "azure-native:managedidentity:UserAssignedIdentity",
        &["resourceName"],
    ),
    ("Microsoft.Authorization/roleAssignments", "azure-native:authorization:RoleAssignment", &["roleAssignmentName"]),
    ("Microsoft.ContainerService/managedClusters", "azure-native:containerservice:ManagedCluster", &["resourceName"]),
    ("Microsoft.DBforPostgreSQL/flexibleServers", "azure-native:dbforpostgresql:Server", &["serverName"]),
    (
        "Microsoft.DBforPostgreSQL/flexibleServers/databases",
        "azure-native:dbforpostgresql:Database",
        &["serverName", "databaseName"],
    ),
    (
        "Microsoft.DBforPostgreSQL/flexibleServers/configurations",
        "azure-native:dbforpostgresql:Configuration",
        &["serverName", "configurationName"],
    ),
];

struct Placed {
    symbolic: String,
    resource: Resource,
    group: Option<String>,
}

/// Adds a template's resources and outputs to a program. Nested deployments disappear: their resources name their group.
///
/// # Errors
/// When the template has a type or an expression that the export does not know.
pub fn program(mut program: Program, template: &Template) -> Result<Program, ExportError> {
    let mut placed = Vec::new();
    let mut nested_outputs = Map::new();
    flatten(template, None, &mut placed, &mut nested_outputs)?;
    let known: Vec<Known> = placed
        .iter()
        .map(|item| Known {
            symbolic: item.symbolic.clone(),
            resource_type: item.resource.resource_type.clone(),
            name: item.resource.name.clone(),
        })
        .collect();
    for item in &placed {
        program.resources.insert(item.symbolic.clone(), resource(item, &known)?);
    }
    for (name, parameter) in &template.parameters {
        let secure = parameter.kind.as_str().eq_ignore_ascii_case("securestring");
        program.inputs.insert(name.clone(), json!({"type": "string", "secret": secure}));
    }
    for (name, output) in &template.outputs {
        program.outputs.insert(name.clone(), output_value(&output.value, &nested_outputs, &known)?);
    }
    program
        .variables
        .insert("client".into(), json!({"fn::invoke": {"function": "azure-native:authorization:getClientConfig"}}));
    Ok(program)
}

fn flatten(
    template: &Template,
    group: Option<&str>,
    placed: &mut Vec<Placed>,
    outputs: &mut Map<String, Value>,
) -> Result<(), ExportError> {
    for (symbolic, resource) in template.resources() {
        let symbolic = symbolic.ok_or_else(|| ExportError("resources without symbolic names".into()))?;
        if resource.resource_type == "Microsoft.Resources/deployments" {
            let inner = resource.view::<Deployment>().ok().and_then(|deployment| deployment.properties.template);
            let inner: Template = inner
                .and_then(|inner| serde_json::from_value(inner).ok())
                .ok_or_else(|| ExportError(format!("the deployment `{symbolic}`")))?;
            for (name, output) in &inner.outputs {
                outputs.insert(format!("[reference('{symbolic}').outputs.{name}.value]"), output.value.clone());
            }
            flatten(&inner, resource.resource_group.as_deref(), placed, outputs)?;
            continue;
        }
        // Both sides of the peering have the same symbolic name in their own templates.
        let taken = placed.iter().any(|item| item.symbolic == symbolic);
        let symbolic = if taken { format!("{symbolic}FarSide") } else { symbolic.to_owned() };
        placed.push(Placed { symbolic, resource: resource.clone(), group: group.map(str::to_owned) });
    }
    Ok(())
}

fn output_value(value: &Value, nested: &Map<String, Value>, known: &[Known]) -> Result<Value, ExportError> {
    let resolved = value.as_str().and_then(|text| nested.get(text)).unwrap_or(value);
    translate_all(resolved, known)
}

fn resource(item: &Placed, known: &[Known]) -> Result<Value, ExportError> {
    let resource = &item.resource;
    let (_, token, name_properties) = TYPES
        .iter()
        .find(|(kind, _, _)| *kind == resource.resource_type)
        .ok_or_else(|| ExportError(format!("the type `{}`", resource.resource_type)))?;
    let mut properties = Map::new();
    if let Some(group) = &item.group {
        let owned = known
            .iter()
            .find(|other| other.resource_type == "Microsoft.Resources/resourceGroups" && other.name == *group);
        properties.insert(
            "resourceGroupName".into(),
            json!(owned.map_or_else(|| group.clone(), |owned| format!("${{{}.name}}", owned.symbolic))),
        );
    }
    // A computed name is left to Pulumi, which makes one up.
    if !resource.name.starts_with('[') {
        for (property, segment) in name_properties.iter().zip(resource.name.split('/')) {
            properties.insert((*property).to_owned(), json!(segment));
        }
    }
    if let Some(scope) = &resource.scope {
        properties.insert("scope".into(), json!(translate(scope, known)?));
    }
    let Value::Object(body) = provider_shape(&Value::Object(resource.body.clone())) else {
        return Err(ExportError(format!("the body of `{}`", resource.name)));
    };
    for (key, value) in body {
        properties.insert(key, translate_all(&value, known)?);
    }
    let mut out = json!({"type": token, "properties": properties});
    let depends: Vec<Value> = resource
        .depends_on
        .iter()
        .filter(|name| known.iter().any(|other| other.symbolic == **name))
        .map(|name| json!(format!("${{{name}}}")))
        .collect();
    if !depends.is_empty() {
        out["options"] = json!({"dependsOn": depends});
    }
    Ok(out)
}

/// `properties` merged upwards, kebab-case keys in camel case, a map of identities as a list.
fn provider_shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(provider_shape).collect()),
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(inner)) => {
                        if let Value::Object(inner) = provider_shape(&Value::Object(inner.clone())) {
                            out.extend(inner);
                        }
                    }
                    ("userAssignedIdentities", Value::Object(identities)) => {
                        out.insert(key.clone(), identities.keys().map(|id| json!(id)).collect());
                    }
                    ("tags" | "nodeLabels", _) => {
                        out.insert(key.clone(), value.clone());
                    }
                    _ => {
                        out.insert(camel(key), provider_shape(value));
                    }
                }
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

fn camel(key: &str) -> String {
    let mut parts = key.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let mut letters = part.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase().to_string()).unwrap_or_default();
        text + &initial + letters.as_str()
    })
}

fn translate_all(value: &Value, known: &[Known]) -> Result<Value, ExportError> {
    Ok(match value {
        Value::String(text) => json!(translate(text, known)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| translate_all(item, known)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| Ok((key.clone(), translate_all(value, known)?)))
                .collect::<Result<_, ExportError>>()?,
        ),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_take_the_providers_shape() {
        let body = json!({"location": "x", "properties": {"auto-scaler": {"scan-interval": "10s"}, "subnets": [{"name": "a", "properties": {"addressPrefix": "p"}}]}});
        let expected = json!({"location": "x", "autoScaler": {"scanInterval": "10s"}, "subnets": [{"name": "a", "addressPrefix": "p"}]});
        assert_eq!(provider_shape(&body), expected);
    }
}
