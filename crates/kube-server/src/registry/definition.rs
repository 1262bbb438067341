//! One row of the table.

use std::sync::Arc;

use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

use super::custom::CustomResource;
use crate::client::ResourceInfo;
use crate::strategies::Strategy;
use crate::tables::Column;

/// Where the scale subresource finds its fields, as JSON pointers.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    pub replicas: String,
    pub status_replicas: String,
    pub selector: Option<String>,
}

/// A version that is served from what another resource stores.
#[derive(Clone, Copy)]
pub struct View {
    /// The stored resource, as in `events`.
    pub of: &'static str,
    pub from_stored: fn(&Value) -> Value,
    pub to_stored: fn(Value) -> Value,
}

/// An object after decoding into its type: canonical field order, no nulls, no unknown fields.
pub type Normalized = Result<Value, String>;
type Normalize = fn(&Value) -> Normalized;

pub enum Origin {
    BuiltIn { normalize: Normalize, strategy: &'static dyn Strategy, columns: &'static [Column] },
    Custom(Arc<CustomResource>),
}

pub struct ResourceDef {
    /// The storage name: `pods`, `deployments.apps`.
    pub resource: Arc<str>,
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub served: bool,
    pub storage: bool,
    pub status: bool,
    pub scale: Option<ScalePaths>,
    /// Further subresources by name, for discovery: (`pods/log`'s `log`, kind, verbs).
    pub subresources: Vec<(&'static str, &'static str, &'static [&'static str])>,
    pub view: Option<View>,
    pub origin: Origin,
}

impl ResourceDef {
    pub fn is_custom(&self) -> bool {
        matches!(self.origin, Origin::Custom(_))
    }

    pub fn is_storage_version(&self) -> bool {
        self.storage && self.view.is_none()
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Deployment.apps`, as messages name kinds.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `deployments.apps`, also for views.
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn strategy(&self) -> &dyn Strategy {
        match &self.origin {
            Origin::BuiltIn { strategy, .. } => *strategy,
            Origin::Custom(custom) => &**custom,
        }
    }

    pub fn info(&self) -> ResourceInfo {
        ResourceInfo {
            resource: self.resource.clone(),
            group: self.group.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
            namespaced: self.namespaced,
        }
    }

    pub fn verbs(&self) -> &'static [&'static str] {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// Decodes into the type and writes it out again.
pub fn normalize<K: DeserializeOwned + Serialize>(value: &Value) -> Normalized {
    let typed: K = strict_json::read(value).value.map_err(|wrong| wrong.to_string())?;
    serde_json::to_value(&typed).map_err(|error| error.to_string())
}
