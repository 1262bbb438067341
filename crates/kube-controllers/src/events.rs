//! Kubernetes events, written beside the work so that no reconciler waits for them.

use futures::future::join_all;
use k8s_openapi::Metadata;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::Client;
use tokio::sync::mpsc;

use crate::objects;

/// Upstream's broadcaster drops events beyond its queue too (client-go tools/record/event.go).
const QUEUE: usize = 4096;
/// As many as share one sync of the disk.
const BATCH: usize = 64;

struct Pending {
    about: ObjectReference,
    kind: &'static str,
    reason: String,
    message: String,
    component: &'static str,
}

#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<Pending>,
}

impl Events {
    /// Ends when the last clone is dropped.
    pub(crate) fn start(client: Client) -> Events {
        let (queue, mut waiting) = mpsc::channel::<Pending>(QUEUE);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                join_all(batch.iter().map(|event| {
                    client.event(&event.about, event.kind, &event.reason, &event.message, event.component)
                }))
                .await;
                batch.clear();
            }
        });
        Events { queue }
    }

    pub(crate) fn normal<K>(&self, about: &K, component: &'static str, reason: &str, message: impl Into<String>)
    where
        K: Resource + Metadata<Ty = ObjectMeta>,
    {
        self.send(objects::reference(about), "Normal", component, reason, message.into());
    }

    pub(crate) fn warning<K>(&self, about: &K, component: &'static str, reason: &str, message: impl Into<String>)
    where
        K: Resource + Metadata<Ty = ObjectMeta>,
    {
        self.send(objects::reference(about), "Warning", component, reason, message.into());
    }

    pub(crate) fn send(
        &self,
        about: ObjectReference,
        kind: &'static str,
        component: &'static str,
        reason: &str,
        message: String,
    ) {
        let event = Pending { about, kind, reason: reason.to_owned(), message, component };
        if self.queue.try_send(event).is_err() {
            tracing::debug!(reason, "too many events at once: one was dropped");
        }
    }
}
