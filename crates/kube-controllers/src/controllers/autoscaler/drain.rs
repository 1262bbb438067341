//! Takes one node out of service: taint, evict, wait, delete; gives it back where that fails.

use std::collections::BTreeSet;

use decide::nodes::{ScaleDown, ScaleDownReason};
use decide::scheduling::PodKey;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use units::Millis;

use super::{Autoscaler, COMPONENT, status};
use crate::clock;
use crate::error::{Context as _, Error, is_not_found, is_too_many_requests};
use crate::nodes::change_taints;

pub(super) const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
/// Between two attempts to evict a pod that a budget protects. Upstream waits 10 s.
const EVICTION_RETRY: Millis = Millis(1000);
/// How long evictions are attempted (`--max-pod-eviction-time`).
const EVICTION_TIME: Millis = Millis::from_secs(120);
/// Upstream's `PodEvictionHeadroom`: what a pod may take beyond its grace period.
const HEADROOM: Millis = Millis::from_secs(30);

impl Autoscaler {
    /// # Errors
    /// When the node stays; its taint is removed again.
    pub(super) async fn remove_node(&self, down: &ScaleDown) -> Result<(), Error> {
        let outcome = self.drain_and_delete(down).await;
        if let Err(error) = &outcome {
            let removed = change_taints(&self.context.client, &down.node, |taints| {
                taints.retain(|taint| taint.key != DELETION_TAINT)
            });
            if let Err(error) = removed.await {
                tracing::warn!(node = down.node, error = %error.chain(), "a node that stays could not be given back to the scheduler");
            }
            self.node_event(
                &down.node,
                "Warning",
                "ScaleDownFailed",
                format!("failed to drain the node: {}", error.chain()),
            );
        }
        outcome
    }

    async fn drain_and_delete(&self, down: &ScaleDown) -> Result<(), Error> {
        self.announce(down);
        let since = clock::now().secs().to_string();
        change_taints(&self.context.client, &down.node, |taints| mark(taints, &since)).await?;
        self.node_event(&down.node, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable".to_owned());
        self.evict_all(down).await?;
        let group = &self.context.node_groups;
        group.delete_nodes(&down.group, std::slice::from_ref(&down.node)).await.map_err(|error| {
            Error::Invalid(format!("cannot delete node {} of group {}: {error}", down.node, down.group))
        })?;
        self.node_event(&down.node, "Normal", "ScaleDown", "node removed by cluster autoscaler".to_owned());
        if down.reason == ScaleDownReason::Empty {
            self.status_event("Normal", "ScaleDownEmpty", format!("Scale-down: empty node {} removed", down.node));
        }
        Ok(())
    }

    fn announce(&self, down: &ScaleDown) {
        if down.reason == ScaleDownReason::Empty {
            self.status_event("Normal", "ScaleDownEmpty", format!("Scale-down: removing empty node \"{}\"", down.node));
        } else {
            let pods: Vec<String> = down.evict.iter().map(ToString::to_string).collect();
            let message = format!("Scale-down: removing node {}, pods to reschedule: {}", down.node, pods.join(","));
            self.status_event("Normal", "ScaleDown", message);
        }
    }

    async fn evict_all(&self, down: &ScaleDown) -> Result<(), Error> {
        let mut evictions = Vec::new();
        for pod in &down.evict {
            evictions.push(self.evict(pod, &down.node));
        }
        join_all(evictions).await.into_iter().collect::<Result<Vec<()>, Error>>()?;
        for pod in &down.evict_daemons {
            // Best effort: what is left ends with the node.
            if let Err(error) = self.context.client.evict(&pod.namespace, &pod.name).await {
                tracing::debug!(%pod, %error, "a daemon's pod was not evicted");
            }
        }
        let patience = Millis::from_secs(down.grace_seconds) + HEADROOM;
        self.wait_until_gone(&down.node, &down.evict, clock::after(patience)).await
    }

    /// Until the budget allows it.
    async fn evict(&self, key: &PodKey, node: &str) -> Result<(), Error> {
        let client = &self.context.client;
        let deadline = clock::after(EVICTION_TIME);
        if let Some(pod) = client.get::<Pod>(Some(&key.namespace), &key.name) {
            self.context.events.normal(&*pod, COMPONENT, "ScaleDown", "deleting pod for node scale down");
        }
        loop {
            if !self.is_on(key, node) {
                return Ok(());
            }
            match client.evict(&key.namespace, &key.name).await {
                Ok(()) => return Ok(()),
                Err(error) if is_not_found(&error) => return Ok(()),
                Err(error) if is_too_many_requests(&error) && clock::monotonic() < deadline => {
                    clock::sleep(EVICTION_RETRY).await
                }
                Err(error) => return Err(error).context(|| format!("evict pod {key} from node {node}")),
            }
        }
    }

    fn is_on(&self, key: &PodKey, node: &str) -> bool {
        let pod = self.context.client.get::<Pod>(Some(&key.namespace), &key.name);
        pod.is_some_and(|pod| crate::pods::node_name(&pod) == Some(node) && !crate::pods::is_finished(&pod))
    }

    async fn wait_until_gone(&self, node: &str, pods: &[PodKey], deadline: Instant) -> Result<(), Error> {
        let mut changes = self.context.client.subscribe();
        loop {
            let left: BTreeSet<String> =
                pods.iter().filter(|pod| self.is_on(pod, node)).map(ToString::to_string).collect();
            if left.is_empty() {
                return Ok(());
            }
            if clock::monotonic() >= deadline {
                let left: Vec<String> = left.into_iter().collect();
                return Err(Error::Invalid(format!("pods remaining after timeout: {}", left.join(", "))));
            }
            tokio::select! {
                change = changes.recv() => if let Err(RecvError::Closed) = change {
                    return Err(Error::Invalid(format!("the cluster stopped while node {node} was drained")));
                },
                () = clock::sleep_until(deadline) => {}
            }
        }
    }

    fn node_event(&self, name: &str, kind: &'static str, reason: &str, message: String) {
        if let Some(node) = self.context.client.get::<Node>(None, name) {
            self.context.events.send(crate::objects::reference(&*node), kind, COMPONENT, reason, message);
        }
    }

    pub(super) fn status_event(&self, kind: &'static str, reason: &str, message: String) {
        self.context.events.send(status::reference(&self.context.client), kind, COMPONENT, reason, message);
    }
}

fn mark(taints: &mut Vec<Taint>, since: &str) {
    if !taints.iter().any(|taint| taint.key == DELETION_TAINT) {
        taints.push(Taint {
            key: DELETION_TAINT.to_owned(),
            value: Some(since.to_owned()),
            effect: "NoSchedule".to_owned(),
            time_added: None,
        });
    }
}
