//! Notices silent nodes, taints nodes by their conditions and evicts pods that do not tolerate it
//! (upstream pkg/controller/nodelifecycle and pkg/controller/tainteviction).
//!
//! Unlike upstream, evictions are not spread over time; when every node is silent nothing is evicted, as upstream has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use kube_server::{ChangeEvent, DeleteOptions};
use parking_lot::Mutex;
use units::{Millis, Timestamp};

use super::disruption_target;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::nodes::{change_taints, taints};
use crate::objects::{Meta, change_key};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

const COMPONENT: &str = "node-controller";
const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Conditions besides Ready with the taint that each of them, when true, brings.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The last sign of life of a node: what it was, and when this controller saw it. Its own clock counts, so that neither
/// a node's clock nor a pause of the whole cloud makes a node look dead.
#[derive(Clone, PartialEq)]
struct Sign {
    renewed: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
    seen: Timestamp,
}

pub(crate) struct NodeLifecycleController {
    context: Context,
    signs: Mutex<BTreeMap<String, Sign>>,
}

impl NodeLifecycleController {
    pub(crate) fn new(context: &Context) -> NodeLifecycleController {
        NodeLifecycleController { context: context.clone(), signs: Mutex::default() }
    }
}

#[async_trait]
impl Reconciler for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "nodes" => dirty.push(change_key(change)),
            "leases.coordination.k8s.io" if change.namespace.as_deref() == Some(LEASES) => {
                dirty.push(Key::cluster(&*change.name))
            }
            // A pod that comes to a tainted node after the taint.
            "pods" => {
                let node = change.object["spec"]["nodeName"]
                    .as_str()
                    .and_then(|name| self.context.client.get::<Node>(None, name));
                dirty.extend(
                    node.filter(|node| taints(node).iter().any(|taint| taint.effect == "NoExecute"))
                        .map(|node| node.key()),
                );
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Node>(None).iter().map(|node| node.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let Some(node) = self.context.client.get::<Node>(None, &key.name) else {
            self.signs.lock().remove(&key.name);
            return Ok(None);
        };
        let now = clock::now();
        let silent_in = self.silent_in(&node, now);
        if silent_in <= Millis::ZERO {
            self.mark_silent(&node, now).await?;
        }
        let Some(node) = self.context.client.get::<Node>(None, &key.name) else { return Ok(None) };
        if !is_ready(&node) {
            self.mark_pods_unready(&node).await?;
        }
        let keep_pods = self.all_silent();
        change_taints(&self.context.client, &key.name, |taints| set_taints(&node, taints, keep_pods, now)).await?;
        let next_eviction = self.evict(&key.name, now).await?;
        let next_sign = (silent_in > Millis::ZERO).then_some(silent_in);
        Ok(next_sign.into_iter().chain(next_eviction).min())
    }
}

impl NodeLifecycleController {
    /// How long the node may still be silent.
    fn silent_in(&self, node: &Node, now: Timestamp) -> Millis {
        let lease = self.context.client.get::<Lease>(Some(LEASES), node.name());
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(clock::from_micro));
        let heartbeat =
            condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref()).map(clock::from_kube);
        let mut signs = self.signs.lock();
        let sign = signs.entry(node.name().to_owned()).or_insert_with(|| Sign { renewed, heartbeat, seen: now });
        if sign.renewed != renewed || sign.heartbeat != heartbeat {
            *sign = Sign { renewed, heartbeat, seen: now };
        }
        sign.seen + self.context.config.nodes.grace - now
    }

    async fn mark_silent(&self, node: &Node, now: Timestamp) -> Result<(), Error> {
        let mut updated = node.clone();
        let conditions = updated.status.get_or_insert_default().conditions.get_or_insert_default();
        for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            set_unknown(conditions, kind, now);
        }
        if updated.status == node.status {
            return Ok(());
        }
        let outcome = ignore_gone(self.context.client.update_status(&updated).await);
        outcome.context(|| format!("write the status of node {}", node.name()))?;
        let message = format!("Node {} status is now: NodeNotReady", node.name());
        self.context.events.normal(node, COMPONENT, "NodeNotReady", message);
        Ok(())
    }

    fn all_silent(&self) -> bool {
        self.context.client.list::<Node>(None).iter().all(|node| !is_ready(node))
    }

    /// Services stop sending requests to pods whose node cannot speak for them.
    async fn mark_pods_unready(&self, node: &Node) -> Result<(), Error> {
        for pod in self.pods_on(node.name()) {
            let mut updated = (*pod).clone();
            let conditions = updated.status.get_or_insert_default().conditions.get_or_insert_default();
            let Some(ready) = conditions.iter_mut().find(|one| one.type_ == "Ready" && one.status == "True") else {
                continue;
            };
            ready.status = "False".to_owned();
            ready.last_transition_time = Some(clock::kube_time(clock::now()));
            let outcome = ignore_gone(self.context.client.update_status(&updated).await);
            outcome.context(|| format!("mark pod {} as not ready", pod.key()))?;
            self.context.events.warning(&*pod, COMPONENT, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }

    fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        let mut found = self.context.client.list::<Pod>(None);
        found.retain(|pod| pods::node_name(pod) == Some(node));
        found
    }

    /// Deletes the pods whose toleration of a NoExecute taint has run out; returns when the next one does.
    async fn evict(&self, name: &str, now: Timestamp) -> Result<Option<Millis>, Error> {
        let Some(node) = self.context.client.get::<Node>(None, name) else { return Ok(None) };
        let executing: Vec<&Taint> = taints(&node).iter().filter(|taint| taint.effect == "NoExecute").collect();
        if executing.is_empty() {
            return Ok(None);
        }
        let mut next = None;
        for pod in self.pods_on(name) {
            if pod.is_deleted() {
                continue;
            }
            match tolerated_until(&pod, &executing, now) {
                None => {}
                Some(until) if until <= now => self.evict_one(&pod).await?,
                Some(until) => next = Some(next.map_or(until - now, |soonest: Millis| soonest.min(until - now))),
            }
        }
        Ok(next)
    }

    async fn evict_one(&self, pod: &Pod) -> Result<(), Error> {
        let client = &self.context.client;
        let message = format!("Marking for deletion Pod {}", pod.key());
        self.context.events.normal(pod, "taint-eviction-controller", "TaintManagerEviction", message);
        disruption_target::mark(
            client,
            pod,
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            false,
        )
        .await?;
        let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::default() };
        let outcome = client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
        ignore_gone(outcome).context(|| format!("evict pod {}", pod.key()))?;
        Ok(())
    }
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

fn set_unknown(conditions: &mut Vec<NodeCondition>, kind: &str, now: Timestamp) {
    let since = Some(clock::kube_time(now));
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(condition) if condition.status == "Unknown" => {}
        Some(condition) => {
            condition.status = "Unknown".to_owned();
            condition.reason = Some("NodeStatusUnknown".to_owned());
            condition.message = Some("Kubelet stopped posting node status.".to_owned());
            condition.last_transition_time = since;
        }
        None => conditions.push(NodeCondition {
            type_: kind.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusNeverUpdated".to_owned()),
            message: Some("Kubelet never posted node status.".to_owned()),
            // A time here would pass for a sign of life.
            last_heartbeat_time: None,
            last_transition_time: since,
        }),
    }
}

/// The taints that follow from the conditions, the other ones left as they are.
fn set_taints(node: &Node, taints: &mut Vec<Taint>, keep_pods: bool, now: Timestamp) {
    let ready = condition(node, "Ready").map(|ready| ready.status.as_str());
    let trouble = match ready {
        Some("True") => None,
        Some("False") => Some(NOT_READY),
        Some(_) => Some(UNREACHABLE),
        // A node that never reported is not ready, and nothing runs on it.
        None => Some(NOT_READY),
    };
    for key in [NOT_READY, UNREACHABLE] {
        let has = trouble == Some(key);
        set_taint(taints, key, "NoSchedule", has, now);
        set_taint(taints, key, "NoExecute", has && !keep_pods, now);
    }
    for (kind, key) in PRESSURES {
        set_taint(taints, key, "NoSchedule", condition(node, kind).is_some_and(|one| one.status == "True"), now);
    }
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    set_taint(taints, UNSCHEDULABLE, "NoSchedule", cordoned, now);
}

fn set_taint(taints: &mut Vec<Taint>, key: &str, effect: &str, wanted: bool, now: Timestamp) {
    let is_it = |taint: &Taint| taint.key == key && taint.effect == effect;
    let has = taints.iter().any(is_it);
    if wanted && !has {
        let time_added = Some(clock::kube_time(now));
        taints.push(Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added });
    } else if has && !wanted {
        taints.retain(|taint| !is_it(taint));
    }
}

/// Until when the pod may stay: for ever where it tolerates every taint without a limit.
fn tolerated_until(pod: &Pod, taints: &[&Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    taints.iter().filter_map(|taint| taint_tolerated_until(tolerations, taint, now)).min()
}

fn taint_tolerated_until(tolerations: &[Toleration], taint: &Taint, now: Timestamp) -> Option<Timestamp> {
    let since = taint.time_added.as_ref().map_or(now, clock::from_kube);
    let fitting: Vec<&Toleration> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
    if fitting.is_empty() {
        return Some(now);
    }
    let limit = fitting.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(since + Millis::from_secs(limit.max(0)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let fits = |wanted: &Option<String>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == value)
    };
    fits(&toleration.effect, &taint.effect)
        && fits(&toleration.key, &taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
        }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn check(tolerations: &[(&str, Option<i64>)], tainted_seconds_ago: i64, expected: Option<i64>) {
        let tolerations = tolerations
            .iter()
            .map(|(key, seconds)| Toleration {
                key: Some((*key).to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: *seconds,
                value: None,
            })
            .collect();
        let pod =
            Pod { spec: Some(PodSpec { tolerations: Some(tolerations), ..PodSpec::default() }), ..Pod::default() };
        let taint = Taint {
            key: UNREACHABLE.to_owned(),
            effect: "NoExecute".to_owned(),
            value: None,
            time_added: Some(clock::kube_time(NOW - Millis::from_secs(tainted_seconds_ago))),
        };
        let until = tolerated_until(&pod, &[&taint], NOW);
        assert_eq!(until.map(|until| (until - NOW).0 / 1000), expected);
    }

    #[test]
    fn tolerations_run_out() {
        check(&[], 10, Some(0));
        check(&[(UNREACHABLE, Some(300))], 10, Some(290));
        check(&[(UNREACHABLE, None)], 10, None);
        check(&[(NOT_READY, Some(300))], 10, Some(0));
        check(&[(UNREACHABLE, Some(30)), (UNREACHABLE, Some(300))], 40, Some(-10));
    }

    #[test]
    fn taints_follow_the_conditions() {
        let node = |status: &str| Node {
            status: Some(k8s_openapi::api::core::v1::NodeStatus {
                conditions: Some(vec![NodeCondition {
                    type_: "Ready".into(),
                    status: status.into(),
                    ..NodeCondition::default()
                }]),
                ..Default::default()
            }),
            ..Node::default()
        };
        let mut taints = vec![Taint { key: "own".into(), effect: "NoSchedule".into(), ..Taint::default() }];
        let keys =
            |taints: &[Taint]| taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect::<Vec<_>>();
        set_taints(&node("Unknown"), &mut taints, false, NOW);
        assert_eq!(
            keys(&taints),
            ["own:NoSchedule", "node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
        );
        set_taints(&node("Unknown"), &mut taints, true, NOW);
        assert_eq!(keys(&taints), ["own:NoSchedule", "node.kubernetes.io/unreachable:NoSchedule"]);
        set_taints(&node("True"), &mut taints, false, NOW);
        assert_eq!(keys(&taints), ["own:NoSchedule"]);
    }
}
