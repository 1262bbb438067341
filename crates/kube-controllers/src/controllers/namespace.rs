//! Empties a namespace that is being deleted, then lets it go.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use kube_server::{ChangeEvent, ChangeKind, DeleteOptions};
use serde_json::json;
use units::Millis;

use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

/// As many deletions wait for the disk together.
const CONCURRENT_DELETIONS: usize = 64;

pub(crate) struct NamespaceController {
    context: Context,
}

impl NamespaceController {
    pub(crate) fn new(context: &Context) -> NamespaceController {
        NamespaceController { context: context.clone() }
    }
}

/// What still stands in a namespace.
#[derive(Default)]
struct Remaining {
    objects: usize,
    /// `pods has 2 resource instances`
    by_resource: Vec<String>,
    with_finalizers: usize,
}

#[async_trait]
impl Reconciler for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        if &*change.resource == "namespaces" {
            dirty.push(change_key(change));
        } else if let (ChangeKind::Deleted, Some(namespace)) = (change.kind, &change.namespace) {
            let terminating =
                self.context.client.get::<Namespace>(None, namespace).is_some_and(|namespace| namespace.is_deleted());
            if terminating {
                dirty.push(Key::cluster(&**namespace));
            }
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Namespace>(None).iter().map(|namespace| namespace.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(namespace) = client.get::<Namespace>(None, &key.name) else { return Ok(None) };
        if !namespace.is_deleted() {
            return Ok(None);
        }
        self.delete_contents(&key.name).await?;
        let remaining = self.remaining(&key.name);
        if remaining.objects == 0 {
            ignore_gone(client.finalize_namespace(&key.name).await).context(|| format!("finalize namespace {key}"))?;
            return Ok(None);
        }
        // Each object's own deletion wakes this controller again.
        self.write_conditions(&namespace, &remaining).await?;
        Ok(None)
    }
}

impl NamespaceController {
    async fn delete_contents(&self, namespace: &str) -> Result<(), Error> {
        let client = &self.context.client;
        let mut doomed = Vec::new();
        for info in client.resources().into_iter().filter(|info| info.namespaced) {
            for object in client.list_raw(&info.resource, Some(namespace)) {
                if object["metadata"]["deletionTimestamp"].is_null() {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    doomed.push((info.resource.clone(), name));
                }
            }
        }
        let options = DeleteOptions { propagation: Some("Background".to_owned()), ..DeleteOptions::default() };
        let mut deletions = Vec::new();
        for (resource, name) in &doomed {
            deletions.push(client.delete_raw(resource, Some(namespace), name, &options));
        }
        let outcomes: Vec<_> = stream::iter(deletions).buffer_unordered(CONCURRENT_DELETIONS).collect().await;
        for outcome in outcomes {
            ignore_gone(outcome).context(|| format!("empty namespace {namespace}"))?;
        }
        Ok(())
    }

    fn remaining(&self, namespace: &str) -> Remaining {
        let client = &self.context.client;
        let mut remaining = Remaining::default();
        for info in client.resources().into_iter().filter(|info| info.namespaced) {
            let objects = client.list_raw(&info.resource, Some(namespace));
            if !objects.is_empty() {
                remaining.objects += objects.len();
                remaining.by_resource.push(format!("{} has {} resource instances", info.resource, objects.len()));
                remaining.with_finalizers += objects
                    .iter()
                    .filter(|object| object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty()))
                    .count();
            }
        }
        remaining
    }

    async fn write_conditions(&self, namespace: &Namespace, remaining: &Remaining) -> Result<(), Error> {
        let now = clock::kube_time(clock::now());
        let current = namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let finalizers = if remaining.with_finalizers > 0 {
            (
                "True",
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {} resource instances",
                    remaining.with_finalizers
                ),
            )
        } else {
            ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
        };
        let content = format!("Some resources are remaining: {}", remaining.by_resource.join(", "));
        let wanted = [
            ("NamespaceContentRemaining", ("True", "SomeResourcesRemain", content)),
            ("NamespaceFinalizersRemaining", finalizers),
        ];
        let conditions: Vec<NamespaceCondition> = wanted
            .into_iter()
            .map(|(kind, (status, reason, message))| {
                let since = current
                    .iter()
                    .find(|one| one.type_ == kind && one.status == status)
                    .and_then(|one| one.last_transition_time.clone());
                NamespaceCondition {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message),
                    last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
                }
            })
            .collect();
        if conditions == current {
            return Ok(());
        }
        let patch = json!({"status": {"conditions": conditions}});
        let outcome = self.context.client.patch_status::<Namespace>(None, namespace.name(), &patch).await;
        ignore_gone(outcome).context(|| format!("write the status of namespace {}", namespace.name()))?;
        Ok(())
    }
}
