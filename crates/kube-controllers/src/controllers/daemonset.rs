//! Daemon sets: one pod on every node that the template fits (upstream pkg/controller/daemon). The pod names its node in
//! its affinity, so that the scheduler binds it there.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use decide::scheduling::view::{NodeView, PodView, TaintEffect};
use decide::wire;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration};
use kube_server::{ChangeEvent, ChangeKind, DeleteOptions};
use units::{Millis, Timestamp};

use super::replicaset::non_zero;
use crate::claim::claim;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_is_orphan, change_key, change_owner, controlled_by};
use crate::pods;
use crate::queue::Key;
use crate::revisions;
use crate::runtime::Reconciler;

const COMPONENT: &str = "daemonset-controller";
const NODE_NAME_FIELD: &str = "metadata.name";
/// What daemons bear so that they run where nothing else does (daemon_controller_utils.go
/// `AddOrUpdateDaemonPodTolerations`).
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

pub(crate) struct DaemonSetController {
    context: Context,
}

impl DaemonSetController {
    pub(crate) fn new(context: &Context) -> DaemonSetController {
        DaemonSetController { context: context.clone() }
    }
}

/// A daemon set's pods by the node that each is for.
type ByNode = BTreeMap<String, Vec<Arc<Pod>>>;

#[derive(Default)]
struct Plan {
    create: Vec<String>,
    delete: Vec<Arc<Pod>>,
}

#[async_trait]
impl Reconciler for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "daemonsets.apps" => dirty.push(change_key(change)),
            "pods" => {
                dirty.extend(change_owner(change, "DaemonSet"));
                if change_is_orphan(change) && change.kind != ChangeKind::Deleted {
                    let sets = self.context.client.list::<DaemonSet>(change.namespace.as_deref());
                    dirty.extend(sets.iter().map(|set| set.key()));
                }
            }
            "nodes" => dirty.extend(self.all()),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<DaemonSet>(None).iter().map(|set| set.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(set) = client.get::<DaemonSet>(key.namespace(), &key.name) else { return Ok(None) };
        let Some(spec) = &set.spec else { return Ok(None) };
        if set.is_deleted() {
            return Ok(None);
        }
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let revision = revisions::current(client, &*set, &spec.template, &mut collisions).await?;
        let by_node = self.by_node(&set, spec).await?;
        let fit = self.fit(&set);
        let mut plan = plan(&fit, &by_node);
        if plan.create.is_empty() && plan.delete.is_empty() {
            plan.delete = outdated(spec, &fit, &by_node, &revision)?;
        }
        let outcome = self.carry_out(&set, spec, &revision, plan).await;
        let by_node = self.by_node(&set, spec).await?;
        let now = clock::now();
        self.write_status(&set, status_of(&set, &fit, &by_node, &revision, collisions, now)).await?;
        let history = revisions::history(client, &*set);
        revisions::truncate(client, &history, spec.revision_history_limit, &[revision.name()]).await?;
        outcome?;
        Ok(pods::next_available(by_node.values().flatten().map(|pod| &**pod), spec.min_ready_seconds.unwrap_or(0), now))
    }
}

/// Whether a node should get a daemon, and whether one that runs there may stay.
#[derive(Clone, Copy)]
struct Fit {
    should_run: bool,
    may_stay: bool,
}

impl DaemonSetController {
    async fn by_node(&self, set: &DaemonSet, spec: &DaemonSetSpec) -> Result<ByNode, Error> {
        let mut by_node = ByNode::new();
        for pod in claim::<Pod, _>(&self.context.client, set, &spec.selector).await? {
            if let Some(node) = target_node(&pod) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        Ok(by_node)
    }

    fn fit(&self, set: &DaemonSet) -> BTreeMap<String, Fit> {
        let mut view = wire::context::daemon_set_pod(set);
        let host_network =
            set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).and_then(|spec| spec.host_network);
        let pod = Pod {
            spec: Some(PodSpec { tolerations: Some(tolerations(host_network == Some(true))), ..PodSpec::default() }),
            ..Pod::default()
        };
        view.tolerations.extend(wire::pod::pod_view(&pod).tolerations);
        let nodes = self.context.client.list::<Node>(None);
        nodes.iter().map(|node| (node.name().to_owned(), fit(&view, &wire::node::node_view(node)))).collect()
    }

    async fn carry_out(
        &self,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        revision: &ControllerRevision,
        plan: Plan,
    ) -> Result<(), Error> {
        let mut deletions = Vec::new();
        for pod in &plan.delete {
            deletions.push(self.delete(set, pod));
        }
        let mut creations = Vec::new();
        for node in &plan.create {
            creations.push(self.create(set, spec, revision, node));
        }
        let (deleted, created) = futures::join!(join_all(deletions), join_all(creations));
        deleted.into_iter().chain(created).collect()
    }

    async fn create(
        &self,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        revision: &ControllerRevision,
        node: &str,
    ) -> Result<(), Error> {
        let mut pod = pods::from_template(&spec.template, set.namespace(), set.name(), controlled_by(set));
        let hash = revision.labels().get(revisions::LABEL).cloned().unwrap_or_default();
        pod.metadata.labels.get_or_insert_default().insert(revisions::LABEL.to_owned(), hash);
        aim(pod.spec.get_or_insert_default(), node);
        match self.context.client.create(Some(set.namespace()), &pod).await {
            Ok(created) => {
                self.context.events.normal(
                    set,
                    COMPONENT,
                    "SuccessfulCreate",
                    format!("Created pod: {}", created.name()),
                );
                Ok(())
            }
            Err(error) => {
                self.context.events.warning(set, COMPONENT, "FailedCreate", format!("Error creating: {error}"));
                Err(error).context(|| format!("create a pod of daemon set {} for node {node}", set.key()))
            }
        }
    }

    async fn delete(&self, set: &DaemonSet, pod: &Pod) -> Result<(), Error> {
        let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::default() };
        let outcome = self.context.client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
        if ignore_gone(outcome).context(|| format!("delete pod {}", pod.key()))?.is_some() {
            self.context.events.normal(set, COMPONENT, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
        Ok(())
    }

    async fn write_status(&self, set: &DaemonSet, status: DaemonSetStatus) -> Result<(), Error> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let updated = DaemonSet { status: Some(status), ..set.clone() };
        let outcome = ignore_gone(self.context.client.update_status(&updated).await);
        outcome.context(|| format!("write the status of daemon set {}", set.key()))?;
        Ok(())
    }
}

fn tolerations(host_network: bool) -> Vec<Toleration> {
    let network = host_network.then_some(TOLERATED_ON_HOST_NETWORK);
    let toleration = |(key, effect): (&str, &str)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..Toleration::default()
    };
    TOLERATED.into_iter().chain(network).map(toleration).collect()
}

fn fit(pod: &PodView, node: &NodeView) -> Fit {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod
            .node_affinity
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)));
    let bears = |effect: TaintEffect| {
        node.taints.iter().filter(|taint| taint.effect == effect).all(|taint| pod.tolerates(taint))
    };
    let may_stay = selected && bears(TaintEffect::NoExecute);
    Fit { should_run: may_stay && bears(TaintEffect::NoSchedule), may_stay }
}

/// Where the pod is or is to go.
fn target_node(pod: &Pod) -> Option<String> {
    if let Some(node) = pods::node_name(pod) {
        return Some(node.to_owned());
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    fields
        .into_iter()
        .find(|field| field.key == NODE_NAME_FIELD)
        .and_then(|field| field.values.as_ref()?.first().cloned())
}

/// Replaces required node affinity, which this controller has checked itself, by the node's name.
fn aim(spec: &mut PodSpec, node: &str) {
    let term = NodeSelectorTerm {
        match_fields: Some(vec![NodeSelectorRequirement {
            key: NODE_NAME_FIELD.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        }]),
        match_expressions: None,
    };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
    let host_network = spec.host_network == Some(true);
    let own = spec.tolerations.get_or_insert_default();
    for toleration in tolerations(host_network) {
        if !own.contains(&toleration) {
            own.push(toleration);
        }
    }
}

/// One pod on each node that should have one; finished ones are replaced.
fn plan(fit: &BTreeMap<String, Fit>, by_node: &ByNode) -> Plan {
    let mut plan = Plan::default();
    for (node, fit) in fit {
        let here = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        let (finished, mut living): (Vec<_>, Vec<_>) =
            here.iter().filter(|pod| !pod.is_deleted()).cloned().partition(|pod| pods::is_finished(pod));
        plan.delete.extend(finished);
        if !fit.may_stay {
            plan.delete.append(&mut living);
        } else if living.is_empty() && fit.should_run && here.iter().all(|pod| pods::is_finished(pod)) {
            // A terminating pod must be gone before its successor comes: both may hold the same host port.
            plan.create.push(node.clone());
        } else if living.len() > 1 {
            living.sort_by_key(|pod| (!pods::is_ready(pod), pod.metadata.creation_timestamp.clone()));
            plan.delete.extend(living.split_off(1));
        }
    }
    // Pods of nodes that are gone are left to the pod garbage collector.
    plan
}

fn is_current(pod: &Pod, revision: &ControllerRevision) -> bool {
    pod.labels().get(revisions::LABEL) == revision.labels().get(revisions::LABEL)
}

/// The pods of old revisions that a rolling update may take away now. `maxSurge` counts as `maxUnavailable`: two daemons
/// are never run on one node at once.
fn outdated(
    spec: &DaemonSetSpec,
    fit: &BTreeMap<String, Fit>,
    by_node: &ByNode,
    revision: &ControllerRevision,
) -> Result<Vec<Arc<Pod>>, Error> {
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("OnDelete") {
        return Ok(Vec::new());
    }
    let desired = fit.values().filter(|fit| fit.should_run).count();
    let rolling = strategy.rolling_update.unwrap_or_default();
    let scaled =
        |value: &_| pods::scaled(value, i32::try_from(desired).unwrap_or(i32::MAX), true).map_err(Error::Invalid);
    let limits = [
        rolling.max_unavailable.as_ref().map(scaled).transpose()?,
        rolling.max_surge.as_ref().map(scaled).transpose()?,
    ];
    let most = limits.into_iter().flatten().max().unwrap_or(1).max(1);
    let now = clock::now();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let is_up = |pod: &Pod| pods::is_active(pod) && pods::is_available(pod, min_ready, now);
    let should_run = || {
        fit.iter()
            .filter(|(_, fit)| fit.should_run)
            .map(|(node, _)| by_node.get(node).map(Vec::as_slice).unwrap_or_default())
    };
    let mut room = most
        - i32::try_from(should_run().filter(|pods| !pods.iter().any(|pod| is_up(pod))).count()).unwrap_or(i32::MAX);
    let mut chosen = Vec::new();
    for pod in should_run().flatten().filter(|pod| pods::is_active(pod) && !is_current(pod, revision)) {
        if !is_up(pod) {
            chosen.push(pod.clone());
        } else if room > 0 {
            room -= 1;
            chosen.push(pod.clone());
        }
    }
    Ok(chosen)
}

fn status_of(
    set: &DaemonSet,
    fit: &BTreeMap<String, Fit>,
    by_node: &ByNode,
    revision: &ControllerRevision,
    collision_count: Option<i32>,
    now: Timestamp,
) -> DaemonSetStatus {
    let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let mut status =
        DaemonSetStatus { observed_generation: set.metadata.generation, collision_count, ..DaemonSetStatus::default() };
    let (mut available, mut updated) = (0, 0);
    for (node, fit) in fit {
        let here = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        let newest =
            here.iter().filter(|pod| pods::is_active(pod)).max_by_key(|pod| pod.metadata.creation_timestamp.clone());
        match (fit.should_run, newest) {
            (true, Some(pod)) => {
                status.desired_number_scheduled += 1;
                status.current_number_scheduled += 1;
                status.number_ready += i32::from(pods::is_ready(pod));
                available += i32::from(pods::is_available(pod, min_ready, now));
                updated += i32::from(is_current(pod, revision));
            }
            (true, None) => status.desired_number_scheduled += 1,
            (false, Some(_)) => status.number_misscheduled += 1,
            (false, None) => {}
        }
    }
    status.number_available = non_zero(available);
    status.number_unavailable = non_zero(status.desired_number_scheduled - available);
    status.updated_number_scheduled = non_zero(updated);
    status
}
