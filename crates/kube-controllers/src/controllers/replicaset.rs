//! Keeps as many pods of a template as asked for.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube_server::{ChangeEvent, DeleteOptions};
use units::Millis;

use crate::claim::claim;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_is_orphan, change_key, change_owner, controlled_by};
use crate::pods;
use crate::queue::Key;
use crate::ranking::sort_for_deletion;
use crate::runtime::Reconciler;
use crate::selector;

const COMPONENT: &str = "replicaset-controller";
/// As many creations or deletions at once as upstream allows (pkg/controller/replicaset/replica_set.go `BurstReplicas`).
const BURST: usize = 500;

pub(crate) struct ReplicaSetController {
    context: Context,
}

impl ReplicaSetController {
    pub(crate) fn new(context: &Context) -> ReplicaSetController {
        ReplicaSetController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for ReplicaSetController {
    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "replicasets.apps" => dirty.push(change_key(change)),
            "pods" => {
                dirty.extend(change_owner(change, "ReplicaSet"));
                if change_is_orphan(change) {
                    let sets = self.context.client.list::<ReplicaSet>(change.namespace.as_deref());
                    dirty.extend(sets.iter().map(|set| set.key()));
                }
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<ReplicaSet>(None).iter().map(|set| set.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(set) = client.get::<ReplicaSet>(key.namespace(), &key.name) else { return Ok(None) };
        let Some(spec) = &set.spec else { return Ok(None) };
        let owned = claim::<Pod, _>(client, &*set, &spec.selector).await?;
        let mut failure = None;
        if !set.is_deleted() {
            failure = self.manage(&set, spec.template.as_ref(), &owned).await;
        }
        self.write_status(&set, failure.as_ref()).await?;
        if let Some((_, error)) = failure {
            return Err(error);
        }
        let now = clock::now();
        Ok(pods::next_available(owned.iter().map(|pod| &**pod), spec.min_ready_seconds.unwrap_or(0), now))
    }
}

/// The reason of a `ReplicaFailure` condition with the error behind it.
type Failure = (&'static str, Error);

impl ReplicaSetController {
    async fn manage(
        &self,
        set: &ReplicaSet,
        template: Option<&PodTemplateSpec>,
        owned: &[Arc<Pod>],
    ) -> Option<Failure> {
        let active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let wanted = usize::try_from(replicas(set)).unwrap_or(0);
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            let created = self.create(set, template?, missing).await;
            created.err().map(|error| ("FailedCreate", error))
        } else {
            let surplus = (active.len() - wanted).min(BURST);
            self.remove(set, active, surplus).await.err().map(|error| ("FailedDelete", error))
        }
    }

    /// Creates in batches that double, so that a quota refuses one pod and not hundreds.
    async fn create(&self, set: &ReplicaSet, template: &PodTemplateSpec, count: usize) -> Result<(), Error> {
        let pod = pods::from_template(template, set.namespace(), set.name(), controlled_by(set));
        let mut left = count;
        let mut batch = 1;
        while left > 0 {
            let now = batch.min(left);
            let outcomes = join_all((0..now).map(|_| self.create_one(set, &pod))).await;
            outcomes.into_iter().collect::<Result<Vec<()>, Error>>()?;
            left -= now;
            batch *= 2;
        }
        Ok(())
    }

    async fn create_one(&self, set: &ReplicaSet, pod: &Pod) -> Result<(), Error> {
        match self.context.client.create(Some(set.namespace()), pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name());
                self.context.events.normal(set, COMPONENT, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                self.context.events.warning(set, COMPONENT, "FailedCreate", format!("Error creating: {error}"));
                Err(error).context(|| format!("create a pod of replica set {}", set.key()))
            }
        }
    }

    async fn remove(&self, set: &ReplicaSet, mut active: Vec<Arc<Pod>>, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        if count < active.len() {
            sort_for_deletion(&mut active, &self.related(set), clock::now());
        }
        let outcomes = join_all(active.iter().take(count).map(|pod| self.remove_one(set, pod))).await;
        outcomes.into_iter().collect()
    }

    async fn remove_one(&self, set: &ReplicaSet, pod: &Pod) -> Result<(), Error> {
        let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::default() };
        let outcome = self.context.client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
        let deleted = ignore_gone(outcome).context(|| format!("delete pod {}", pod.key()))?;
        if deleted.is_some() {
            self.context.events.normal(set, COMPONENT, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
        Ok(())
    }

    /// The pods of every replica set that has the same controller as this one.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let client = &self.context.client;
        let siblings: Vec<String> = match set.controller() {
            Some(owner) => client
                .list::<ReplicaSet>(Some(set.namespace()))
                .iter()
                .filter(|other| other.is_controlled_by(&owner.uid))
                .map(|other| other.uid().to_owned())
                .collect(),
            None => vec![set.uid().to_owned()],
        };
        let mut pods = client.list::<Pod>(Some(set.namespace()));
        pods.retain(|pod| pod.controller().is_some_and(|owner| siblings.contains(&owner.uid)));
        pods
    }

    async fn write_status(&self, set: &ReplicaSet, failure: Option<&Failure>) -> Result<(), Error> {
        let mut owned = self.context.client.list::<Pod>(Some(set.namespace()));
        owned.retain(|pod| pod.is_controlled_by(set.uid()));
        let status = status(set, &owned, failure);
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let updated = ReplicaSet { status: Some(status), ..set.clone() };
        ignore_gone(self.context.client.update_status(&updated).await)
            .context(|| format!("write the status of replica set {}", set.key()))?;
        Ok(())
    }
}

pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn status(set: &ReplicaSet, owned: &[Arc<Pod>], failure: Option<&Failure>) -> ReplicaSetStatus {
    let now = clock::now();
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels = spec
        .template
        .as_ref()
        .and_then(|template| template.metadata.as_ref())
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let active: Vec<&Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).collect();
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(active.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: non_zero(count(&|pod| selector::includes(pod.labels(), &template_labels))),
        ready_replicas: non_zero(count(&|pod| pods::is_ready(pod))),
        available_replicas: non_zero(count(&|pod| pods::is_available(pod, min_ready, now))),
        terminating_replicas: Some(
            i32::try_from(owned.iter().filter(|pod| pods::is_terminating(pod)).count()).unwrap_or(i32::MAX),
        ),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure),
    }
}

/// Go leaves zero counters out of the JSON, and a stored status must compare equal to a fresh one.
pub(crate) fn non_zero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// Upstream keeps the first failure's condition until pods can be managed again.
fn conditions(set: &ReplicaSet, failure: Option<&Failure>) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let known = conditions.iter().any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) if known => {}
        Some((reason, error)) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some((*reason).to_owned()),
            message: Some(error.message()),
            last_transition_time: Some(clock::kube_time(clock::now())),
        }),
    }
    (!conditions.is_empty()).then_some(conditions)
}
