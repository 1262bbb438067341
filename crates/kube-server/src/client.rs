//! The in-process client: what controllers, scheduler and kubelet use instead of HTTP.
//!
//! Reads come from typed caches and are synchronous; writes go through the same admission, storage and durability as an
//! HTTP request and resolve when the change is on disk.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use k8s_openapi::{Metadata, Resource};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::api::PodToken;
use crate::api::{Api, Caller, Part, WriteOptions};
use crate::error::ApiError;
use crate::node_agent::NodeAgent;
use crate::registry::ResourceDef;

/// A Kubernetes type that the client can carry.
pub trait Object:
    Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
}
impl<K> Object for K where
    K: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
}

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
    Apply {
        force: bool,
    },
}

/// What one served resource is, for callers that walk over all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    /// `pods`, `deployments.apps`
    pub resource: Arc<str>,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespaced: bool,
}

/// The scale subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleView {
    /// `spec.replicas`
    pub replicas: i32,
    /// `status.replicas`
    pub status_replicas: i32,
    /// Selects the pods that are counted, in the text form `app=web`.
    pub selector: String,
    pub resource_version: String,
}

/// A handle on the API; cloning is cheap.
#[derive(Clone)]
pub struct Client {
    api: Arc<Api>,
    caller: Arc<Caller>,
    options: Arc<WriteOptions>,
}

/// The name under which a type is stored: `pods`, `deployments.apps`.
fn resource_of<K: Object>() -> String {
    if K::GROUP.is_empty() { K::URL_PATH_SEGMENT.to_owned() } else { format!("{}.{}", K::URL_PATH_SEGMENT, K::GROUP) }
}

fn to_value<K: Object>(object: &K) -> Result<Value, ApiError> {
    serde_json::to_value(object).map_err(|error| ApiError::internal(format!("cannot write a {}: {error}", K::KIND)))
}

fn from_value<K: Object>(value: &Value) -> Result<K, ApiError> {
    K::deserialize(value).map_err(|error| ApiError::internal(format!("cannot read a stored {}: {error}", K::KIND)))
}

impl Client {
    pub(crate) fn new(api: Arc<Api>) -> Client {
        let options = WriteOptions { field_manager: "marea".to_owned(), ..WriteOptions::default() };
        Client { api, caller: Arc::new(Caller::in_process()), options: Arc::new(options) }
    }

    /// A client that owns fields as `field_manager`. In-process callers are not authorised again.
    pub fn with_manager(&self, field_manager: &str) -> Client {
        let options = WriteOptions { field_manager: field_manager.to_owned(), ..WriteOptions::default() };
        Client { options: Arc::new(options), ..self.clone() }
    }

    /// From the typed cache, current as of the last durable change.
    pub fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.api.cache().typed(&resource_of::<K>(), namespace, name)
    }

    /// Sorted by namespace and name; `None` lists all namespaces.
    pub fn list<K: Object>(&self, namespace: Option<&str>) -> Vec<Arc<K>> {
        self.api.cache().typed_list(&resource_of::<K>(), namespace)
    }

    /// Any resource, custom ones too; `resource` as in `deployments.apps`.
    pub fn get_raw(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        self.api.cache().get(resource, namespace, name)
    }

    pub fn list_raw(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.api.cache().list(resource, namespace)
    }

    /// Every stored resource, custom ones too.
    pub fn resources(&self) -> Vec<ResourceInfo> {
        self.api.registry().stored().iter().map(|def| def.info()).collect()
    }

    /// The namespace comes from the argument, else from the object.
    pub async fn create<K: Object>(&self, namespace: Option<&str>, object: &K) -> Result<K, ApiError> {
        let def = self.def(&resource_of::<K>())?;
        let namespace = namespace.or(object.metadata().namespace.as_deref());
        let created = self.api.create(&self.caller, &def, namespace, to_value(object)?, &self.options).await?;
        from_value(&created.object)
    }

    /// Fails with Conflict when the object carries a resourceVersion that is not the current one.
    pub async fn update<K: Object>(&self, object: &K) -> Result<K, ApiError> {
        self.update_part(object, Part::Main).await
    }

    pub async fn update_status<K: Object>(&self, object: &K) -> Result<K, ApiError> {
        self.update_part(object, Part::Status).await
    }

    async fn update_part<K: Object>(&self, object: &K, part: Part) -> Result<K, ApiError> {
        let def = self.def(&resource_of::<K>())?;
        let metadata = object.metadata();
        let name = metadata.name.as_deref().ok_or_else(|| ApiError::bad_request("the object has no metadata.name"))?;
        let namespace = metadata.namespace.as_deref();
        let value = to_value(object)?;
        let updated = self.api.update(&self.caller, &def, namespace, name, part, value, &self.options).await?;
        from_value(&updated.object)
    }

    pub async fn patch<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<K, ApiError> {
        from_value(&*self.patch_raw(&resource_of::<K>(), namespace, name, kind, patch).await?)
    }

    /// A merge patch of the status subresource.
    pub async fn patch_status<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<K, ApiError> {
        let def = self.def(&resource_of::<K>())?;
        let patched = self
            .api
            .patch(&self.caller, &def, namespace, name, Part::Status, PatchKind::Merge, patch, &self.options)
            .await?;
        from_value(&patched.object)
    }

    pub async fn delete<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        self.delete_raw(&resource_of::<K>(), namespace, name, options).await
    }

    pub async fn create_raw(
        &self,
        resource: &str,
        namespace: Option<&str>,
        object: Value,
    ) -> Result<Arc<Value>, ApiError> {
        let def = self.def(resource)?;
        Ok(self.api.create(&self.caller, &def, namespace, object, &self.options).await?.object)
    }

    pub async fn patch_raw(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        let def = self.def(resource)?;
        Ok(self.api.patch(&self.caller, &def, namespace, name, Part::Main, kind, patch, &self.options).await?.object)
    }

    /// A merge patch of the status subresource of any resource.
    pub async fn patch_status_raw(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        let def = self.def(resource)?;
        let written = self
            .api
            .patch(&self.caller, &def, namespace, name, Part::Status, PatchKind::Merge, patch, &self.options)
            .await?;
        Ok(written.object)
    }

    pub async fn delete_raw(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        let def = self.def(resource)?;
        self.api.delete(&self.caller, &def, namespace, name, options, &self.options).await.map(drop)
    }

    /// Ends a terminating namespace: removes `kubernetes` from `spec.finalizers`, as the finalize subresource does.
    pub async fn finalize_namespace(&self, name: &str) -> Result<(), ApiError> {
        let def = self.def("namespaces")?;
        let patch = json!({"spec": {"finalizers": null}});
        self.api
            .patch(&self.caller, &def, None, name, Part::Finalize, PatchKind::Merge, &patch, &self.options)
            .await
            .map(drop)
    }

    pub async fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<(), ApiError> {
        self.api.bind(&self.caller, namespace, pod, node, None, &self.options).await
    }

    /// Deletes the pod as an eviction; 429 when a disruption budget forbids it now.
    pub async fn evict(&self, namespace: &str, pod: &str) -> Result<(), ApiError> {
        self.api.evict(&self.caller, namespace, pod, &DeleteOptions::default(), &self.options).await
    }

    /// Reads the scale subresource of `deployments.apps` or any other resource that has one.
    pub async fn scale(&self, resource: &str, namespace: &str, name: &str) -> Result<ScaleView, ApiError> {
        self.api.scale(&*self.def(resource)?, Some(namespace), name)
    }

    pub async fn set_scale(&self, resource: &str, namespace: &str, name: &str, replicas: i32) -> Result<(), ApiError> {
        let def = self.def(resource)?;
        let patch = json!({"spec": {"replicas": replicas}});
        self.api
            .patch(&self.caller, &def, Some(namespace), name, Part::Scale, PatchKind::Merge, &patch, &self.options)
            .await
            .map(drop)
    }

    /// Records an event; a repeat of the same event counts up instead. `kind` is `Normal` or `Warning`. Events are an aid
    /// for people: one that cannot be written is logged and dropped.
    pub async fn event(&self, about: &ObjectReference, kind: &str, reason: &str, message: &str, component: &str) {
        if let Err(error) = crate::api::events::record(self, about, kind, reason, message, component).await {
            tracing::warn!(%error, reason, "cannot record an event");
        }
    }

    /// `Lagged` means: look at the caches again. The change is in the caches before it is sent here.
    pub fn subscribe(&self) -> broadcast::Receiver<ChangeEvent> {
        self.api.subscribe()
    }

    /// A service account's token for a pod, as the kubelet mounts it.
    ///
    /// # Errors
    /// 404 when the service account does not exist.
    pub fn pod_token(&self, wanted: &PodToken<'_>) -> Result<String, ApiError> {
        self.api.pod_token(wanted)
    }

    pub fn node_agent(&self) -> Option<Arc<dyn NodeAgent>> {
        self.api.node_agent()
    }

    fn def(&self, resource: &str) -> Result<Arc<ResourceDef>, ApiError> {
        self.api
            .registry()
            .stored_by_name(resource)
            .ok_or_else(|| ApiError::new(404, "NotFound", format!("the server has no resource {resource:?}")))
    }
}
