//! The cluster autoscaler's loop: shows `decide::nodes` the cluster, grows groups, drains and deletes nodes.

mod drain;
mod snapshot;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use decide::nodes::{Decision, Memory, ScaleDown, ScaleDownReason, ScaleUp, Snapshot, Unneeded};
use decide::scheduling::PodKey;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube_server::{ChangeEvent, ChangeKind};
use parking_lot::Mutex;
use serde_json::Value;
use units::Millis;

use crate::clock;
use crate::context::Context;
use crate::error::Error;
use crate::journal::{Entry, Item, POOLS};
use crate::node_groups::NodeGroup;
use crate::nodes::{change_taints, taints};
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

pub(super) const COMPONENT: &str = "cluster-autoscaler";
const CANDIDATE_TAINT: &str = "DeletionCandidateOfClusterAutoscaler";
/// Candidate taints written in one loop at most (`--max-bulk-soft-taint-count`).
const CANDIDATES_PER_LOOP: usize = 10;
/// After a change the next loop follows at once, but not before the cloud has seen it.
const SHORTEST_WAIT: Millis = Millis(100);

#[derive(Clone)]
pub(crate) struct Autoscaler {
    context: Context,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    memory: Mutex<Memory>,
    /// Pods that no node fits, to tell a new one from one whose status was written again.
    unschedulable: Mutex<BTreeSet<Key>>,
    /// What the pods without help were told last: repeating it every ten seconds would help nobody.
    told: Mutex<BTreeMap<PodKey, String>>,
}

impl Autoscaler {
    pub(crate) fn new(context: &Context) -> Autoscaler {
        let client = context.client.with_manager(COMPONENT);
        Autoscaler { context: Context { client, ..context.clone() }, shared: Arc::default() }
    }

    fn key() -> Key {
        Key::cluster("nodes")
    }
}

#[async_trait]
impl Reconciler for Autoscaler {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    /// A pod that becomes unschedulable starts a loop of its own.
    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        if &*change.resource != "pods" {
            return;
        }
        let mut known = self.shared.unschedulable.lock();
        let key = change_key(change);
        if change.kind == ChangeKind::Deleted || !is_unschedulable(&change.object) {
            known.remove(&key);
        } else if known.insert(key) {
            dirty.push(Self::key());
        }
    }

    fn all(&self) -> Vec<Key> {
        vec![Self::key()]
    }

    async fn reconcile(&self, _: &Key) -> Result<Option<Millis>, Error> {
        let groups: Vec<NodeGroup> =
            self.context.node_groups.groups().into_iter().filter(|group| group.autoscaling).collect();
        let snapshot = snapshot::read(&self.context.client, &groups, clock::now());
        let decision = self.decide(&snapshot);
        // A scale-up's sizes count on the instances that never became nodes being gone; nothing runs on them to wait for.
        let (never_nodes, others): (Vec<_>, Vec<_>) = decision.scale_downs.iter().cloned().partition(was_no_node);
        for down in &never_nodes {
            self.remove(down).await;
        }
        for up in &decision.scale_ups {
            self.grow(up, &groups, &snapshot).await;
        }
        for down in others {
            self.start_removal(down);
        }
        self.tell_unhelped(&decision);
        if let Err(error) = self.mark_candidates(&groups, &decision.unneeded).await {
            tracing::debug!(error = %error.chain(), "a deletion candidate was not marked");
        }
        let memory = self.shared.memory.lock().clone();
        if let Err(error) = status::write(&self.context.client, &snapshot, &decision, &memory).await {
            tracing::debug!(error = %error.chain(), "the autoscaler's status was not written");
        }
        Ok(Some((decision.next - clock::now()).max(SHORTEST_WAIT)))
    }
}

fn is_unschedulable(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["spec"]["nodeName"].is_null()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "Unschedulable")
}

impl Autoscaler {
    fn decide(&self, snapshot: &Snapshot) -> Decision {
        let profile = self.context.profile.lock().clone();
        let mut memory = self.shared.memory.lock();
        let before = memory.clone();
        let decision = decide::nodes::decide(&profile, snapshot, &mut memory);
        drop(memory);
        self.context.recorder.record(Entry {
            kind: POOLS,
            namespace: None,
            object: POOLS,
            now: snapshot.now,
            settings: &profile,
            snapshot,
            memory_before: &before,
            decision: &decision,
            summary: &decision.report.summary,
            acted: !decision.scale_ups.is_empty() || !decision.scale_downs.is_empty(),
            items: snapshot.groups.iter().map(|group| item(&group.name, &decision)).collect(),
        });
        decision
    }

    async fn grow(&self, up: &ScaleUp, groups: &[NodeGroup], snapshot: &Snapshot) {
        let max = groups.iter().find(|group| group.name == up.group).map_or(0, |group| group.max);
        let (name, from, to) = (&up.group, up.from, up.to);
        self.status_event(
            "Normal",
            "ScaledUpGroup",
            format!("Scale-up: setting group {name} size to {to} instead of {from} (max: {max})"),
        );
        let outcome = self.context.node_groups.increase(name, u32::try_from(to).unwrap_or(0)).await;
        if let Err(error) = outcome {
            tracing::warn!(group = name, from, to, %error, "a group could not grow");
            self.shared.memory.lock().scale_up_failed(name, &error.to_string(), snapshot.now);
            self.status_event("Warning", "FailedToScaleUpGroup", format!("Scale-up failed for group {name}: {error}"));
            return;
        }
        tracing::info!(group = name, from, to, pods = up.pods.len(), "group grows");
        self.status_event(
            "Normal",
            "ScaledUpGroup",
            format!("Scale-up: group {name} size set to {to} instead of {from} (max: {max})"),
        );
        for key in &up.pods {
            if let Some(pod) = self.context.client.get::<Pod>(Some(&key.namespace), &key.name) {
                let message = format!("pod triggered scale-up: [{{{name} {from}->{to} (max: {max})}}]");
                self.context.events.normal(&*pod, COMPONENT, "TriggeredScaleUp", message);
            }
        }
    }

    /// Draining takes as long as pods need to end; the loop goes on meanwhile.
    fn start_removal(&self, down: ScaleDown) {
        let this = self.clone();
        let mut stopped = self.context.stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = this.remove(&down) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    async fn remove(&self, down: &ScaleDown) {
        tracing::info!(group = down.group, node = down.node, from = down.from, to = down.to, "node goes");
        if let Err(error) = self.remove_node(down).await {
            tracing::warn!(node = down.node, error = %error.chain(), "a node could not be removed");
            self.shared.memory.lock().deletion_failed(&down.node, clock::now());
        }
    }

    fn tell_unhelped(&self, decision: &Decision) {
        let mut told = self.shared.told.lock();
        let before = std::mem::take(&mut *told);
        for unhelped in &decision.not_helped {
            let known = before.get(&unhelped.pod) == Some(&unhelped.message);
            let pod = self.context.client.get::<Pod>(Some(&unhelped.pod.namespace), &unhelped.pod.name);
            if let Some(pod) = pod.filter(|_| !known) {
                self.context.events.normal(&*pod, COMPONENT, "NotTriggerScaleUp", unhelped.message.as_str());
            }
            told.insert(unhelped.pod.clone(), unhelped.message.clone());
        }
    }

    /// Pods rather go elsewhere than on nodes without need.
    async fn mark_candidates(&self, groups: &[NodeGroup], unneeded: &[Unneeded]) -> Result<(), Error> {
        let mut left = CANDIDATES_PER_LOOP;
        for instance in groups.iter().flat_map(|group| &group.instances) {
            let Some(node) = self.context.client.get::<Node>(None, &instance.node_name) else { continue };
            let wanted = unneeded.iter().find(|one| one.node == node.name());
            let marked = taints(&node).iter().any(|taint| taint.key == CANDIDATE_TAINT);
            if marked == wanted.is_some() || left == 0 {
                continue;
            }
            left -= 1;
            change_taints(&self.context.client, node.name(), |taints| {
                taints.retain(|taint| taint.key != CANDIDATE_TAINT);
                taints.extend(wanted.map(candidate));
            })
            .await?;
        }
        Ok(())
    }
}

fn was_no_node(down: &ScaleDown) -> bool {
    matches!(down.reason, ScaleDownReason::Unregistered | ScaleDownReason::CreationFailed)
}

fn candidate(unneeded: &Unneeded) -> Taint {
    Taint {
        key: CANDIDATE_TAINT.to_owned(),
        value: Some(unneeded.since.secs().to_string()),
        effect: "PreferNoSchedule".to_owned(),
        time_added: None,
    }
}

/// What the decision means for one group.
fn item(group: &str, decision: &Decision) -> Item {
    let ups = decision
        .scale_ups
        .iter()
        .filter(|up| up.group == group)
        .map(|up| format!("grows from {} to {} nodes", up.from, up.to));
    let downs = decision.scale_downs.iter().filter(|down| down.group == group);
    let downs = downs.map(|down| format!("shrinks from {} to {} nodes: {} goes", down.from, down.to, down.node));
    let changes: Vec<String> = ups.chain(downs).collect();
    Item {
        namespace: None,
        object: group.to_owned(),
        acted: !changes.is_empty(),
        summary: if changes.is_empty() { decision.report.summary.clone() } else { changes.join("; ") },
    }
}
