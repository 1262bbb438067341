//! Stateful sets: pods with lasting names, one after the other (upstream pkg/controller/statefulset).

mod identity;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube_server::{ChangeEvent, DeleteOptions};
use units::{Millis, Timestamp};

use super::replicaset::non_zero;
use crate::claim::claim;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone, is_already_exists};
use crate::objects::{Meta, change_is_orphan, change_key, change_owner};
use crate::pods;
use crate::queue::Key;
use crate::revisions;
use crate::runtime::Reconciler;

const COMPONENT: &str = "statefulset-controller";

pub(crate) struct StatefulSetController {
    context: Context,
}

impl StatefulSetController {
    pub(crate) fn new(context: &Context) -> StatefulSetController {
        StatefulSetController { context: context.clone() }
    }
}

/// A set with its pods by ordinal and its revisions.
struct Members<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    pods: BTreeMap<i32, Arc<Pod>>,
    /// What pods below the partition run.
    current: Arc<ControllerRevision>,
    /// What the spec wants.
    update: Arc<ControllerRevision>,
}

#[async_trait]
impl Reconciler for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "statefulsets.apps" => dirty.push(change_key(change)),
            "pods" => {
                dirty.extend(change_owner(change, "StatefulSet"));
                if change_is_orphan(change) {
                    let sets = self.context.client.list::<StatefulSet>(change.namespace.as_deref());
                    dirty.extend(sets.iter().map(|set| set.key()));
                }
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<StatefulSet>(None).iter().map(|set| set.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(set) = client.get::<StatefulSet>(key.namespace(), &key.name) else { return Ok(None) };
        let Some(spec) = &set.spec else { return Ok(None) };
        if set.is_deleted() {
            return Ok(None);
        }
        let mut status = set.status.clone().unwrap_or_default();
        let update = match revisions::current(client, &*set, &spec.template, &mut status.collision_count).await {
            Ok(update) => update,
            Err(error) => {
                // The collision count must be kept, or the same name is tried for ever.
                self.write_status(&set, status).await?;
                return Err(error);
            }
        };
        let history = revisions::history(client, &*set);
        let current = history
            .iter()
            .find(|one| status.current_revision.as_deref() == Some(one.name()))
            .unwrap_or(&update)
            .clone();
        let pods = self.pods(&set, spec).await?;
        let mut members = Members { set: &set, spec, pods, current, update };
        let outcome = self.advance(&members).await;
        members.pods = self.pods(&set, spec).await?;
        let now = clock::now();
        let next = status_of(&members, status.collision_count, now);
        let live = [next.current_revision.as_deref().unwrap_or_default(), members.update.name()];
        revisions::truncate(client, &history, spec.revision_history_limit, &live).await?;
        self.write_status(&set, next).await?;
        outcome?;
        Ok(pods::next_available(members.pods.values().map(|pod| &**pod), spec.min_ready_seconds.unwrap_or(0), now))
    }
}

impl StatefulSetController {
    async fn pods(&self, set: &StatefulSet, spec: &StatefulSetSpec) -> Result<BTreeMap<i32, Arc<Pod>>, Error> {
        let owned = claim::<Pod, _>(&self.context.client, set, &spec.selector).await?;
        Ok(owned.into_iter().filter_map(|pod| Some((identity::ordinal(set, &pod)?, pod))).collect())
    }

    /// Does what may be done now: with ordered management one pod, and only once those before it are healthy.
    async fn advance(&self, members: &Members<'_>) -> Result<(), Error> {
        for ordinal in members.wanted() {
            let healthy = match members.pods.get(&ordinal) {
                None => {
                    self.create(members, ordinal).await?;
                    false
                }
                Some(pod) if pods::is_finished(pod) && !pod.is_deleted() => {
                    self.delete(members, pod).await?;
                    false
                }
                Some(pod) => members.is_healthy(pod),
            };
            if !healthy && members.is_ordered() {
                return Ok(());
            }
        }
        if self.scale_down(members).await? {
            return Ok(());
        }
        self.update(members).await
    }

    async fn create(&self, members: &Members<'_>, ordinal: i32) -> Result<(), Error> {
        let client = &self.context.client;
        let set = members.set;
        for claim in identity::claims(set, ordinal) {
            if client.get::<PersistentVolumeClaim>(Some(set.namespace()), claim.name()).is_some() {
                continue;
            }
            client.create(Some(set.namespace()), &claim).await.context(|| format!("create claim {}", claim.key()))?;
            let message = format!(
                "create Claim {} Pod {} in StatefulSet {} success",
                claim.name(),
                identity::pod_name(set, ordinal),
                set.name()
            );
            self.context.events.normal(set, COMPONENT, "SuccessfulCreate", message);
        }
        let (revision, template) = members.revision_for(ordinal);
        let pod = identity::pod(set, &template, &revision, ordinal);
        match client.create(Some(set.namespace()), &pod).await {
            Ok(_) => {
                let message = format!("create Pod {} in StatefulSet {} successful", pod.name(), set.name());
                self.context.events.normal(set, COMPONENT, "SuccessfulCreate", message);
                Ok(())
            }
            // A pod of that name that is not ours must go first.
            Err(error) if is_already_exists(&error) => Err(error).context(|| format!("create pod {}", pod.key())),
            Err(error) => {
                let message = format!("create Pod {} in StatefulSet {} failed error: {error}", pod.name(), set.name());
                self.context.events.warning(set, COMPONENT, "FailedCreate", message);
                Err(error).context(|| format!("create pod {}", pod.key()))
            }
        }
    }

    async fn delete(&self, members: &Members<'_>, pod: &Pod) -> Result<(), Error> {
        let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::default() };
        let outcome = self.context.client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
        let deleted = ignore_gone(outcome).context(|| format!("delete pod {}", pod.key()))?;
        if deleted.is_some() {
            let message = format!("delete Pod {} in StatefulSet {} successful", pod.name(), members.set.name());
            self.context.events.normal(members.set, COMPONENT, "SuccessfulDelete", message);
        }
        Ok(())
    }

    /// Pods beyond the wanted ones go, the highest first; true while there are any.
    async fn scale_down(&self, members: &Members<'_>) -> Result<bool, Error> {
        let condemned: Vec<&Arc<Pod>> = members.condemned().collect();
        for pod in &condemned {
            if !pod.is_deleted() {
                self.delete(members, pod).await?;
            }
            if members.is_ordered() {
                return Ok(true);
            }
        }
        Ok(!condemned.is_empty())
    }

    /// Replaces pods of older revisions, the highest first, as many at a time as may be missing.
    async fn update(&self, members: &Members<'_>) -> Result<(), Error> {
        let Some(partition) = members.partition() else { return Ok(()) };
        let most = members.max_unavailable()?;
        let mut unavailable = 0;
        for (_, pod) in members.pods.range(members.wanted()).rev() {
            if !members.is_healthy(pod) {
                unavailable += 1;
            }
        }
        for (_, pod) in members.pods.range(partition.max(members.first())..members.end()).rev() {
            if members.is_of(pod, &members.update) || pod.is_deleted() {
                continue;
            }
            // A broken pod of an old revision is replaced whatever the others do: it serves nobody.
            if members.is_healthy(pod) {
                if unavailable >= most {
                    return Ok(());
                }
                unavailable += 1;
            }
            self.delete(members, pod).await?;
        }
        Ok(())
    }

    async fn write_status(&self, set: &StatefulSet, status: StatefulSetStatus) -> Result<(), Error> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let updated = StatefulSet { status: Some(status), ..set.clone() };
        let outcome = ignore_gone(self.context.client.update_status(&updated).await);
        outcome.context(|| format!("write the status of stateful set {}", set.key()))?;
        Ok(())
    }
}

impl Members<'_> {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn first(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
    }

    fn end(&self) -> i32 {
        self.first() + self.replicas()
    }

    fn wanted(&self) -> std::ops::Range<i32> {
        self.first()..self.end()
    }

    /// The highest first.
    fn condemned(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let wanted = self.wanted();
        self.pods.iter().rev().filter(move |(ordinal, _)| !wanted.contains(ordinal)).map(|(_, pod)| pod)
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        !pod.is_deleted() && pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), clock::now())
    }

    fn is_of(&self, pod: &Pod, revision: &ControllerRevision) -> bool {
        pod.labels().get(revisions::LABEL).is_some_and(|label| label == revision.name())
    }

    /// The lowest ordinal that is updated; nothing with `OnDelete`.
    fn partition(&self) -> Option<i32> {
        let strategy = self.spec.update_strategy.clone().unwrap_or_default();
        (strategy.type_.as_deref() != Some("OnDelete"))
            .then(|| strategy.rolling_update.and_then(|rolling| rolling.partition).unwrap_or(0))
    }

    fn max_unavailable(&self) -> Result<i32, Error> {
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
            None => Ok(1),
            Some(value) => Ok(pods::scaled(value, self.replicas(), true).map_err(Error::Invalid)?.max(1)),
        }
    }

    /// New pods below the partition are made from the old template, so that scaling does not update them.
    fn revision_for(&self, ordinal: i32) -> (String, PodTemplateSpec) {
        let updates = self.partition().is_none_or(|partition| ordinal >= partition);
        let old = (!updates).then(|| revisions::template(&self.current)).flatten();
        match old {
            Some(template) => (self.current.name().to_owned(), template),
            None => (self.update.name().to_owned(), self.spec.template.clone()),
        }
    }
}

fn status_of(members: &Members<'_>, collision_count: Option<i32>, now: Timestamp) -> StatefulSetStatus {
    let min_ready = members.spec.min_ready_seconds.unwrap_or(0);
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(members.pods.values().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    let updated = count(&|pod| members.is_of(pod, &members.update) && pods::is_active(pod));
    let ready = count(&|pod| pods::is_active(pod) && pods::is_ready(pod));
    let replicas = count(&|pod| !pods::is_finished(pod));
    let settled = updated == members.replicas() && ready == members.replicas() && replicas == members.replicas();
    let current = if settled { &members.update } else { &members.current };
    StatefulSetStatus {
        replicas,
        ready_replicas: non_zero(ready),
        available_replicas: Some(count(&|pod| pods::is_active(pod) && pods::is_available(pod, min_ready, now))),
        current_replicas: non_zero(count(&|pod| members.is_of(pod, current) && pods::is_active(pod))),
        updated_replicas: non_zero(updated),
        current_revision: Some(current.name().to_owned()),
        update_revision: Some(members.update.name().to_owned()),
        // Upstream always counts collisions, from zero.
        collision_count: Some(collision_count.unwrap_or(0)),
        observed_generation: members.set.metadata.generation,
        conditions: members.set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}
