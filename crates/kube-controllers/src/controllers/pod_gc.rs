//! Removes pods that nobody else will: of nodes that are gone, deleted before they were scheduled, and finished ones
//! beyond the threshold (upstream pkg/controller/podgc).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_server::{ChangeEvent, ChangeKind, DeleteOptions};
use parking_lot::Mutex;
use units::{Millis, Timestamp};

use super::disruption_target;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::Meta;
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

/// How long a missing node may come back before its pods are given up (upstream's `quarantineTime`).
const QUARANTINE: Millis = Millis::from_secs(40);

pub(crate) struct PodGarbageCollector {
    context: Context,
    /// Since when a node on which pods still stand is missing.
    missing: Mutex<BTreeMap<String, Timestamp>>,
}

impl PodGarbageCollector {
    pub(crate) fn new(context: &Context) -> PodGarbageCollector {
        PodGarbageCollector { context: context.clone(), missing: Mutex::default() }
    }

    fn key() -> Key {
        Key::cluster("pods")
    }

    fn node_exists(&self, name: &str) -> bool {
        self.context.client.get::<Node>(None, name).is_some()
    }
}

#[async_trait]
impl Reconciler for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        let concerns = match (&*change.resource, change.kind) {
            ("nodes", ChangeKind::Deleted) => true,
            ("pods", ChangeKind::Added | ChangeKind::Modified) => {
                let phase = change.object["status"]["phase"].as_str().unwrap_or_default();
                let deleted = !change.object["metadata"]["deletionTimestamp"].is_null();
                match change.object["spec"]["nodeName"].as_str() {
                    None => deleted,
                    Some(node) => matches!(phase, "Succeeded" | "Failed") || !self.node_exists(node),
                }
            }
            _ => false,
        };
        if concerns {
            dirty.push(Self::key());
        }
    }

    fn all(&self) -> Vec<Key> {
        vec![Self::key()]
    }

    async fn reconcile(&self, _: &Key) -> Result<Option<Millis>, Error> {
        let now = clock::now();
        let pods = self.context.client.list::<Pod>(None);
        self.note_missing(&pods, now);
        let mut next = None;
        for pod in &pods {
            let since = pods::node_name(pod).and_then(|node| self.missing.lock().get(node).copied());
            match since {
                Some(since) if now - since >= QUARANTINE => self.remove(pod, true).await?,
                Some(since) => {
                    let wait = QUARANTINE - (now - since);
                    next = Some(next.map_or(wait, |next: Millis| next.min(wait)));
                }
                None if pods::node_name(pod).is_none() && pod.is_deleted() => self.remove(pod, false).await?,
                None => {}
            }
        }
        self.remove_finished(&pods).await?;
        Ok(next)
    }
}

impl PodGarbageCollector {
    fn note_missing(&self, pods: &[Arc<Pod>], now: Timestamp) {
        let mut missing = self.missing.lock();
        let nodes = pods.iter().filter_map(|pod| pods::node_name(pod));
        let gone: BTreeMap<String, Timestamp> = nodes
            .filter(|node| !self.node_exists(node))
            .map(|node| (node.to_owned(), missing.get(node).copied().unwrap_or(now)))
            .collect();
        *missing = gone;
    }

    async fn remove(&self, pod: &Pod, orphaned: bool) -> Result<(), Error> {
        if orphaned && !pods::is_finished(pod) {
            disruption_target::mark(&self.context.client, pod, "DeletionByPodGC", "PodGC: node no longer exists", true)
                .await?;
        }
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            uid: Some(pod.uid().to_owned()),
            ..DeleteOptions::default()
        };
        let outcome = self.context.client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
        ignore_gone(outcome).context(|| format!("delete pod {}", pod.key()))?;
        Ok(())
    }

    async fn remove_finished(&self, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let mut finished: Vec<&Arc<Pod>> =
            pods.iter().filter(|pod| pods::is_finished(pod) && !pod.is_deleted()).collect();
        let surplus = finished.len().saturating_sub(self.context.config.terminated_pods);
        finished.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        for pod in finished.into_iter().take(surplus) {
            self.remove(pod, false).await?;
        }
        Ok(())
    }
}
