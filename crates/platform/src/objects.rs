//! Manifests as they are applied.

use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Platform;

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Index into [`Platform::objects`].
    pub object: usize,
    pub namespace: String,
    pub name: String,
    pub spec: PodDisruptionBudgetSpec,
}

impl Budget {
    pub(crate) fn read(object: usize, manifest: &Value) -> Option<Budget> {
        if manifest["kind"] != "PodDisruptionBudget" {
            return None;
        }
        let (namespace, name) = identity(manifest)?;
        Some(Budget { object, namespace, name, spec: spec(manifest)? })
    }
}

/// Namespace (`default` where none is given) and name.
pub(crate) fn identity(manifest: &Value) -> Option<(String, String)> {
    let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or("default");
    Some((namespace.to_owned(), manifest["metadata"]["name"].as_str()?.to_owned()))
}

pub(crate) fn spec<T: DeserializeOwned>(manifest: &Value) -> Option<T> {
    T::deserialize(&manifest["spec"]).ok()
}

impl Platform {
    /// The objects of a kind, each with its index; those that the type does not admit are passed over.
    pub fn typed<T: DeserializeOwned>(&self, kind: &str) -> impl Iterator<Item = (usize, T)> {
        self.of_kind(kind).filter_map(|(index, object)| Some((index, T::deserialize(object).ok()?)))
    }

    /// The manifests of a kind, each with its index.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = (usize, &Value)> {
        self.objects.iter().enumerate().filter(move |(_, object)| object["kind"] == kind)
    }
}
