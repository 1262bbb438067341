//! ControllerRevisions: the history of the templates of stateful sets and daemon sets
//! (upstream pkg/controller/history).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use k8s_openapi::{Metadata, Resource};
use kube_server::{Client, DeleteOptions};
use serde_json::{Value, json};

use crate::error::{Context as _, Error, ignore_gone, is_already_exists};
use crate::hash;
use crate::objects::{Meta, controlled_by};

pub(crate) const LABEL: &str = "controller-revision-hash";

/// The revisions of `owner`, oldest first.
pub(crate) fn history<O: Resource + Metadata<Ty = ObjectMeta>>(
    client: &Client,
    owner: &O,
) -> Vec<Arc<ControllerRevision>> {
    let mut revisions = client.list::<ControllerRevision>(Some(owner.namespace()));
    revisions.retain(|revision| revision.is_controlled_by(owner.uid()));
    revisions.sort_by(|a, b| (a.revision, a.name()).cmp(&(b.revision, b.name())));
    revisions
}

/// As a strategic merge patch of the owner, so that `kubectl rollout undo` can apply it.
fn data(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template)
        .map_err(|error| Error::Invalid(format!("cannot serialise a template: {error}")))?;
    template["$patch"] = json!("replace");
    Ok(json!({"spec": {"template": template}}))
}

/// The template that a revision keeps.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0["spec"]["template"].clone();
    template.as_object_mut()?.shift_remove("$patch");
    serde_json::from_value(template).ok()
}

/// The revision of `template`: the newest, an older one made the newest again, or a new one.
pub(crate) async fn current<O>(
    client: &Client,
    owner: &O,
    wanted: &PodTemplateSpec,
    collisions: &mut Option<i32>,
) -> Result<Arc<ControllerRevision>, Error>
where
    O: Resource + Metadata<Ty = ObjectMeta>,
{
    let history = history(client, owner);
    let next = history.last().map_or(0, |newest| newest.revision) + 1;
    let same = history.iter().rev().find(|revision| template(revision).as_ref() == Some(wanted));
    let operation = || format!("write a revision of {}", owner.key());
    match same {
        Some(same) if same.revision + 1 == next => Ok(same.clone()),
        Some(same) => {
            let updated = ControllerRevision { revision: next, ..(**same).clone() };
            Ok(Arc::new(client.update(&updated).await.context(operation)?))
        }
        None => {
            let revision = build(owner, wanted, next, *collisions)?;
            match client.create(Some(owner.namespace()), &revision).await {
                Err(error) if is_already_exists(&error) => {
                    *collisions = Some(collisions.unwrap_or(0) + 1);
                    Err(error).context(operation)
                }
                outcome => Ok(Arc::new(outcome.context(operation)?)),
            }
        }
    }
}

fn build<O>(
    owner: &O,
    template: &PodTemplateSpec,
    revision: i64,
    collisions: Option<i32>,
) -> Result<ControllerRevision, Error>
where
    O: Resource + Metadata<Ty = ObjectMeta>,
{
    let hash = hash::suffix(template, collisions)?;
    let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(LABEL.to_owned(), hash.clone());
    Ok(ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", owner.name())),
            namespace: Some(owner.namespace().to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data(template)?)),
        revision,
    })
}

/// Deletes the oldest revisions beyond `limit` that are not in `live`.
pub(crate) async fn truncate(
    client: &Client,
    history: &[Arc<ControllerRevision>],
    limit: Option<i32>,
    live: &[&str],
) -> Result<(), Error> {
    let idle: Vec<&Arc<ControllerRevision>> =
        history.iter().filter(|revision| !live.contains(&revision.name())).collect();
    let surplus = idle.len().saturating_sub(usize::try_from(limit.unwrap_or(10)).unwrap_or(0));
    for revision in &idle[..surplus] {
        let outcome = client
            .delete::<ControllerRevision>(Some(revision.namespace()), revision.name(), &DeleteOptions::default())
            .await;
        ignore_gone(outcome).context(|| format!("delete revision {}", revision.key()))?;
    }
    Ok(())
}
