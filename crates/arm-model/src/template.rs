//! Templates: what a deployment is asked to make.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resources::{Deployment, DeploymentProperties, ExpressionScope};
use crate::wire::wire_enum;

const GROUP_SCHEMA: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const SUBSCRIPTION_SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";

/// A resource body with a type and the api-version that its wire names belong to.
pub trait Typed: Serialize + DeserializeOwned {
    const TYPE: &'static str;
    const API_VERSION: &'static str;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    #[serde(rename = "$schema")]
    pub schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_version: Option<String>,
    pub content_version: String,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, Parameter>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub variables: IndexMap<String, Value>,
    pub resources: Resources,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, Output>,
}

/// With `languageVersion` 2.0 resources have symbolic names, before that they are a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Resources {
    Symbolic(IndexMap<String, Resource>),
    List(Vec<Resource>),
}

impl Template {
    /// An empty template for a resource group, with symbolic names.
    pub fn for_group() -> Template {
        Self::new(GROUP_SCHEMA)
    }

    /// An empty template for a subscription, with symbolic names.
    pub fn for_subscription() -> Template {
        Self::new(SUBSCRIPTION_SCHEMA)
    }

    fn new(schema: &str) -> Template {
        Template {
            schema: schema.to_owned(),
            language_version: Some("2.0".to_owned()),
            content_version: "1.0.0.0".to_owned(),
            parameters: IndexMap::new(),
            variables: IndexMap::new(),
            resources: Resources::Symbolic(IndexMap::new()),
            outputs: IndexMap::new(),
        }
    }

    #[must_use]
    pub fn parameter(mut self, name: &str, parameter: Parameter) -> Template {
        self.parameters.insert(name.to_owned(), parameter);
        self
    }

    #[must_use]
    pub fn output(mut self, name: &str, output: Output) -> Template {
        self.outputs.insert(name.to_owned(), output);
        self
    }

    /// Adds a resource under a symbolic name; a template of the classic form gets it at the end of its list.
    #[must_use]
    pub fn resource(mut self, symbolic_name: &str, resource: Resource) -> Template {
        match &mut self.resources {
            Resources::Symbolic(resources) => {
                resources.insert(symbolic_name.to_owned(), resource);
            }
            Resources::List(resources) => resources.push(resource),
        }
        self
    }

    /// Every resource with its symbolic name, where it has one.
    pub fn resources(&self) -> Vec<(Option<&str>, &Resource)> {
        match &self.resources {
            Resources::Symbolic(resources) => {
                resources.iter().map(|(name, resource)| (Some(name.as_str()), resource)).collect()
            }
            Resources::List(resources) => resources.iter().map(|resource| (None, resource)).collect(),
        }
    }

    /// The template as JSON, e.g. for the body of a deployment.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

wire_enum! {
    /// The type of a parameter or an output.
    pub enum ParameterType {
        String = "string",
        SecureString = "securestring",
        Int = "int",
        Bool = "bool",
        Object = "object",
        SecureObject = "secureObject",
        Array = "array",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    #[serde(rename = "type")]
    pub kind: ParameterType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_values: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_value: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_value: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

impl Parameter {
    pub fn new(kind: ParameterType) -> Parameter {
        Parameter {
            kind,
            default_value: None,
            allowed_values: None,
            min_value: None,
            max_value: None,
            min_length: None,
            max_length: None,
            metadata: None,
        }
    }

    pub fn string() -> Parameter {
        Self::new(ParameterType::String)
    }

    /// A value that Azure neither stores nor shows.
    pub fn secure_string() -> Parameter {
        Self::new(ParameterType::SecureString)
    }

    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Parameter {
        self.default_value = Some(value.into());
        self
    }

    #[must_use]
    pub fn description(mut self, text: &str) -> Parameter {
        self.metadata = Some(serde_json::json!({ "description": text }));
        self
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    #[serde(rename = "type")]
    pub kind: ParameterType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
    pub value: Value,
}

impl Output {
    pub fn string(value: impl Into<String>) -> Output {
        Output { kind: ParameterType::String, condition: None, value: Value::String(value.into()) }
    }

    pub fn new(kind: ParameterType, value: impl Into<Value>) -> Output {
        Output { kind, condition: None, value: value.into() }
    }
}

/// A resource of a template: what every resource has, and its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
    /// `true`: the resource is only referred to, not deployed (symbolic names only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<bool>,
    #[serde(rename = "type")]
    pub resource_type: String,
    pub api_version: String,
    /// Names of all segments joined by `/`.
    pub name: String,
    /// The resource that an extension resource belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For nested deployments: the group they deploy into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// `location`, `tags`, `sku`, `identity`, `properties` … as the type has them.
    #[serde(flatten)]
    pub body: Map<String, Value>,
}

impl Resource {
    /// A resource with a typed body. The name has one part per segment of the type: `vnet/subnet`.
    pub fn new<T: Typed>(name: impl Into<String>, body: &T) -> Resource {
        let body = match serde_json::to_value(body) {
            Ok(Value::Object(body)) => body,
            _ => Map::new(),
        };
        Resource {
            condition: None,
            existing: None,
            resource_type: T::TYPE.to_owned(),
            api_version: T::API_VERSION.to_owned(),
            name: name.into(),
            scope: None,
            resource_group: None,
            subscription_id: None,
            copy: None,
            depends_on: Vec::new(),
            body,
        }
    }

    /// A nested deployment into a resource group, evaluated in its own (inner) scope.
    pub fn nested_in_group(
        name: impl Into<String>,
        group: impl Into<String>,
        template: &Template,
        parameters: IndexMap<String, Value>,
    ) -> Resource {
        let deployment = Deployment {
            properties: DeploymentProperties {
                template: Some(template.to_value()),
                parameters: parameters
                    .into_iter()
                    .map(|(name, value)| (name, serde_json::json!({ "value": value })))
                    .collect(),
                ..DeploymentProperties::inner(ExpressionScope::Inner)
            },
            ..Deployment::default()
        };
        let mut resource = Resource::new(name, &deployment);
        resource.resource_group = Some(group.into());
        resource
    }

    /// A dependency: a symbolic name, or an expression that gives an id.
    #[must_use]
    pub fn depends_on(mut self, on: impl Into<String>) -> Resource {
        self.depends_on.push(on.into());
        self
    }

    #[must_use]
    pub fn condition(mut self, condition: impl Into<Value>) -> Resource {
        self.condition = Some(condition.into());
        self
    }

    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Resource {
        self.scope = Some(scope.into());
        self
    }

    /// The body as its type.
    ///
    /// # Errors
    /// When the body does not have the shape of the type.
    pub fn view<T: Typed>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(Value::Object(self.body.clone()))
    }
}
