//! The in-process client: what controllers, scheduler and kubelet use instead of HTTP.
//!
//! Reads come from typed caches and are synchronous; writes go through the same admission, storage and durability as an
//! HTTP request and resolve when the change is on disk.

use std::sync::Arc;

use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde_json::Value;

use crate::error::ApiError;

/// A Kubernetes type that the client can carry.
pub trait Object: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}
impl<K> Object for K where K: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One durable change of one object, as every subscriber sees it.
#[derive(Clone, Debug)]
pub struct ChangeEvent {
    pub kind: ChangeKind,
    /// `pods`, `deployments.apps`
    pub resource: Arc<str>,
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
    pub object: Arc<Value>,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    /// Only if the object still has this uid.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    /// `Background` (default), `Foreground`, `Orphan`
    pub propagation: Option<String>,
}

/// How a patch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply under the client's field manager; `force` takes conflicting fields over.
    Apply { force: bool },
}

// The contract. Bodies live with the registry; every method is implemented by the owner of this crate.
//
// impl Client {
//     /// A client that writes as `user` and owns fields as `field_manager`. In-process callers are not authorised again.
//     pub fn with_manager(&self, field_manager: &str) -> Client;
//
//     // reads: from the typed cache, current as of the last durable change
//     pub fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>>;
//     pub fn list<K: Object>(&self, namespace: Option<&str>) -> Vec<Arc<K>>;          // sorted by namespace, name
//     pub fn get_raw(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Value>>;   // any resource, custom ones too
//     pub fn list_raw(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>>;
//     pub fn resources(&self) -> Vec<ResourceInfo>;                                   // for the garbage collector and namespaces
//
//     // writes
//     pub async fn create<K: Object>(&self, namespace: Option<&str>, object: &K) -> Result<K, ApiError>;
//     pub async fn update<K: Object>(&self, object: &K) -> Result<K, ApiError>;            // fails with Conflict on a stale resourceVersion
//     pub async fn update_status<K: Object>(&self, object: &K) -> Result<K, ApiError>;
//     pub async fn patch<K: Object>(&self, namespace: Option<&str>, name: &str, kind: PatchKind, patch: &Value) -> Result<K, ApiError>;
//     pub async fn patch_status<K: Object>(&self, namespace: Option<&str>, name: &str, patch: &Value) -> Result<K, ApiError>;  // merge patch
//     pub async fn delete<K: Object>(&self, namespace: Option<&str>, name: &str, options: &DeleteOptions) -> Result<(), ApiError>;
//     pub async fn patch_raw / delete_raw (resource, …)                               // for the garbage collector
//     pub async fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<(), ApiError>;
//     pub async fn evict(&self, namespace: &str, pod: &str) -> Result<(), ApiError>;  // 429 when a disruption budget forbids
//     pub async fn scale(&self, resource: &str, namespace: &str, name: &str) -> Result<ScaleView, ApiError>;   // get the scale subresource
//     pub async fn set_scale(&self, resource: &str, namespace: &str, name: &str, replicas: i32) -> Result<(), ApiError>;
//     pub async fn event(&self, about: &ObjectReference, kind: "Normal"|"Warning", reason: &str, message: &str, component: &str);  // aggregates repeats
//
//     // wake-ups
//     pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<ChangeEvent>;       // Lagged means: resync from the caches
//     pub fn node_agent(&self) -> Option<Arc<dyn NodeAgent>>;
// }
