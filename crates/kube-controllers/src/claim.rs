//! Which pods and replica sets belong to a controller: orphans that match are adopted, owned ones that no longer match
//! are released (upstream pkg/controller/controller_ref_manager.go).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::{Metadata, Resource};
use kube_server::{Client, Object};

use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, controlled_by};
use crate::selector;

/// The objects of kind `K` that `owner` controls after adoption and release.
///
/// # Errors
/// When an adoption or a release cannot be written.
pub(crate) async fn claim<K, O>(client: &Client, owner: &O, selector: &LabelSelector) -> Result<Vec<Arc<K>>, Error>
where
    K: Object,
    O: Resource + Metadata<Ty = ObjectMeta>,
{
    let mut claimed = Vec::new();
    for object in client.list::<K>(Some(owner.namespace())) {
        let matches = || selector::matches(selector, object.labels());
        match object.controller() {
            Some(controller) if controller.uid == owner.uid() => {
                if owner.is_deleted() || matches() {
                    claimed.push(object);
                } else {
                    release(client, owner, &*object).await?;
                }
            }
            Some(_) => {}
            None if owner.is_deleted() || object.is_deleted() || !matches() => {}
            None => claimed.extend(adopt(client, owner, &*object).await?),
        }
    }
    Ok(claimed)
}

async fn adopt<K, O>(client: &Client, owner: &O, object: &K) -> Result<Option<Arc<K>>, Error>
where
    K: Object,
    O: Resource + Metadata<Ty = ObjectMeta>,
{
    let mut adopted = object.clone();
    adopted.metadata_mut().owner_references.get_or_insert_default().push(controlled_by(owner));
    let outcome = ignore_gone(client.update(&adopted).await);
    outcome.map(|updated| updated.map(Arc::new)).context(|| format!("adopt {} {}", K::KIND, object.key()))
}

async fn release<K, O>(client: &Client, owner: &O, object: &K) -> Result<(), Error>
where
    K: Object,
    O: Resource + Metadata<Ty = ObjectMeta>,
{
    let mut released = object.clone();
    if let Some(owners) = released.metadata_mut().owner_references.as_mut() {
        owners.retain(|reference| reference.uid != owner.uid());
    }
    ignore_gone(client.update(&released).await).context(|| format!("release {} {}", K::KIND, object.key()))?;
    Ok(())
}
