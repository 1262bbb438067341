//! How many pods of each disruption budget may be evicted now (upstream pkg/controller/disruption).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_server::ChangeEvent;
use units::{Millis, Timestamp};

use super::replicaset::non_zero;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_key};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;
use crate::selector;

const COMPONENT: &str = "controllermanager";
/// An eviction that was granted but not followed by a deletion counts for so long (upstream's `DeletionTimeout`).
const GRANTED: Millis = Millis::from_secs(120);

pub(crate) struct DisruptionController {
    context: Context,
}

impl DisruptionController {
    pub(crate) fn new(context: &Context) -> DisruptionController {
        DisruptionController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "poddisruptionbudgets.policy" => dirty.push(change_key(change)),
            "pods" | "replicasets.apps" | "deployments.apps" | "statefulsets.apps" => {
                let budgets = self.context.client.list::<PodDisruptionBudget>(change.namespace.as_deref());
                dirty.extend(budgets.iter().map(|budget| budget.key()));
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<PodDisruptionBudget>(None).iter().map(|budget| budget.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let Some(budget) = self.context.client.get::<PodDisruptionBudget>(key.namespace(), &key.name) else {
            return Ok(None);
        };
        let now = clock::now();
        let pods = self.selected(&budget);
        let (granted, recheck) = granted(&budget, &pods, now);
        let (status, failure) = match self.expected(&budget, &pods).await {
            Ok(expected) => (counted(&budget, &pods, &expected, granted, now), None),
            Err(error) => (failed(&budget, &error, now), Some(error)),
        };
        if let Some(error) = failure {
            self.context.events.warning(
                &*budget,
                COMPONENT,
                "CalculateExpectedPodCountFailed",
                format!("Failed to calculate the number of expected pods: {error}"),
            );
        }
        if budget.status.as_ref() != Some(&status) {
            let updated = PodDisruptionBudget { status: Some(status), ..(*budget).clone() };
            let outcome = ignore_gone(self.context.client.update_status(&updated).await);
            outcome.context(|| format!("write the status of disruption budget {key}"))?;
        }
        Ok(recheck)
    }
}

/// How many pods there should be, and how many of them healthy.
struct Expected {
    pods: i32,
    healthy: i32,
}

impl DisruptionController {
    /// No selector selects nothing, an empty one everything.
    fn selected(&self, budget: &PodDisruptionBudget) -> Vec<Arc<Pod>> {
        let Some(wanted) = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return Vec::new() };
        let mut pods = self.context.client.list::<Pod>(Some(budget.namespace()));
        pods.retain(|pod| selector::matches(wanted, pod.labels()));
        pods
    }

    async fn expected(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<Expected, Error> {
        let spec = budget.spec.clone().unwrap_or_default();
        let scaled = |value: &IntOrString, total| pods::scaled(value, total, true).map_err(Error::Invalid);
        if let Some(most) = &spec.max_unavailable {
            let expected = self.expected_scale(pods).await?;
            let healthy = (expected - scaled(most, expected)?).max(0);
            return Ok(Expected { pods: expected, healthy });
        }
        match &spec.min_available {
            Some(IntOrString::Int(least)) => {
                Ok(Expected { pods: i32::try_from(pods.len()).unwrap_or(i32::MAX), healthy: *least })
            }
            Some(percent) => {
                let expected = self.expected_scale(pods).await?;
                Ok(Expected { pods: expected, healthy: scaled(percent, expected)? })
            }
            None => Ok(Expected { pods: i32::try_from(pods.len()).unwrap_or(i32::MAX), healthy: 0 }),
        }
    }

    /// The sizes of all controllers of these pods, each counted once.
    async fn expected_scale(&self, pods: &[Arc<Pod>]) -> Result<i32, Error> {
        let mut sizes: BTreeMap<String, i32> = BTreeMap::new();
        for pod in pods {
            let owner = self.top_controller(pod)?;
            let size = match sizes.get(&owner.uid) {
                Some(known) => *known,
                None => self.size_of(pod.namespace(), &owner).await?,
            };
            sizes.insert(owner.uid, size);
        }
        Ok(sizes.values().sum())
    }

    fn top_controller(&self, pod: &Pod) -> Result<OwnerReference, Error> {
        let owner = pod
            .controller()
            .ok_or_else(|| Error::Invalid(format!("found no controller ref for pod \"{}\"", pod.name())))?;
        if owner.kind != "ReplicaSet" {
            return Ok(owner.clone());
        }
        let set = self.context.client.get::<ReplicaSet>(Some(pod.namespace()), &owner.name);
        let deployment = set.as_ref().and_then(|set| set.controller()).filter(|owner| owner.kind == "Deployment");
        Ok(deployment.unwrap_or(owner).clone())
    }

    async fn size_of(&self, namespace: &str, owner: &OwnerReference) -> Result<i32, Error> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let resources = self.context.client.resources();
        let info = resources.iter().find(|info| info.kind == owner.kind && info.group == group);
        let info = info.ok_or_else(|| Error::Invalid(format!("{}.{} has no scale", owner.kind, owner.api_version)))?;
        let scale = self.context.client.scale(&info.resource, namespace, &owner.name).await;
        Ok(scale.context(|| format!("read the scale of {} {}", owner.kind, owner.name))?.replicas)
    }
}

/// Evictions that were granted and whose deletion is not seen yet, and when the next of them lapses.
fn granted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Millis>) {
    let known = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let standing = |name: &String| pods.iter().any(|pod| pod.name() == name && !pod.is_deleted());
    let left = |since: &Time| clock::from_kube(since) + GRANTED - now;
    let granted: BTreeMap<String, Time> =
        known.into_iter().filter(|(name, since)| standing(name) && left(since) > Millis(0)).collect();
    let recheck = granted.values().map(left).min();
    (granted, recheck)
}

fn counted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    expected: &Expected,
    granted: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let healthy =
        pods.iter().filter(|pod| !pod.is_deleted() && !granted.contains_key(pod.name()) && pods::is_ready(pod)).count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    let allowed = if expected.pods <= 0 { 0 } else { (healthy - expected.healthy).max(0) };
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(expected.healthy),
        expected_pods: Some(expected.pods),
        disruptions_allowed: Some(allowed),
        disrupted_pods: non_zero(i32::try_from(granted.len()).unwrap_or(i32::MAX)).map(|_| granted),
        observed_generation: budget.metadata.generation,
        conditions: Some(conditions(budget, status, reason, "", now)),
    }
}

/// Fails safe: nothing may be evicted while the size of the workload is unknown.
fn failed(budget: &PodDisruptionBudget, error: &Error, now: Timestamp) -> PodDisruptionBudgetStatus {
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        observed_generation: budget.metadata.generation,
        conditions: Some(conditions(budget, "False", "SyncFailed", &error.message(), now)),
        ..budget.status.clone().unwrap_or_default()
    }
}

fn conditions(
    budget: &PodDisruptionBudget,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let current = budget.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let since = current
        .iter()
        .find(|one| one.type_ == "DisruptionAllowed" && one.status == status)
        .map(|one| one.last_transition_time.clone());
    let mut conditions: Vec<Condition> = current.into_iter().filter(|one| one.type_ != "DisruptionAllowed").collect();
    conditions.push(Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: budget.metadata.generation,
        last_transition_time: since.unwrap_or_else(|| clock::kube_time(now)),
    });
    conditions
}
