//! Deployments: rolling updates and recreation over replica sets, revisions, progress.

mod revisions;
mod rollout;
mod scale;
mod status;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube_server::{ChangeEvent, DeleteOptions, PatchKind};
use serde_json::json;
use units::Millis;

use crate::claim::claim;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone, is_already_exists};
use crate::objects::{Meta, change_is_orphan, change_key, change_owner};
use crate::queue::Key;
use crate::runtime::Reconciler;
use crate::selector;

const COMPONENT: &str = "deployment-controller";

pub(crate) struct DeploymentController {
    context: Context,
}

impl DeploymentController {
    pub(crate) fn new(context: &Context) -> DeploymentController {
        DeploymentController { context: context.clone() }
    }
}

/// A deployment with its replica sets, as far as this visit has brought them.
struct Rollout {
    deployment: Deployment,
    new: Option<ReplicaSet>,
    old: Vec<ReplicaSet>,
}

#[async_trait]
impl Reconciler for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "deployments.apps" => dirty.push(change_key(change)),
            "replicasets.apps" => {
                dirty.extend(change_owner(change, "Deployment"));
                if change_is_orphan(change) {
                    let deployments = self.context.client.list::<Deployment>(change.namespace.as_deref());
                    dirty.extend(deployments.iter().map(|deployment| deployment.key()));
                }
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Deployment>(None).iter().map(|deployment| deployment.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(deployment) = client.get::<Deployment>(key.namespace(), &key.name) else { return Ok(None) };
        let Some(spec) = &deployment.spec else { return Ok(None) };
        if selector::is_empty(&spec.selector) {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.context.events.warning(&*deployment, COMPONENT, "SelectingAll", message);
            return Ok(None);
        }
        let sets = claim::<ReplicaSet, _>(client, &*deployment, &spec.selector).await?;
        let mut old: Vec<ReplicaSet> = sets.iter().map(|set| (**set).clone()).collect();
        let new = revisions::take_new(&deployment, &mut old);
        let mut rollout = Rollout { deployment: (*deployment).clone(), new, old };
        let status = self.advance(&mut rollout, &deployment).await?;
        self.write_status(&deployment, &rollout, status.clone()).await?;
        Ok(status::check_again(&deployment, &status, clock::now()))
    }
}

impl DeploymentController {
    /// Does what can be done now and returns the status that follows.
    async fn advance(&self, rollout: &mut Rollout, stored: &Deployment) -> Result<DeploymentStatus, Error> {
        let now = clock::now();
        if rollout.deployment.is_deleted() {
            return status::counted(&rollout.deployment, rollout.new.as_ref(), &rollout.old, now);
        }
        status::note_pause(&mut rollout.deployment, now);
        self.adjust_new(rollout).await?;
        let paused = rollout.deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
        if paused || scale::was_scaled(&rollout.deployment, rollout.new.as_ref(), &rollout.old) {
            scale::rescale(&self.context, &rollout.deployment, &mut rollout.new, &mut rollout.old).await?;
            if paused {
                self.clean_up(rollout).await?;
            }
            return status::counted(&rollout.deployment, rollout.new.as_ref(), &rollout.old, now);
        }
        if rollout::is_recreate(&rollout.deployment) {
            self.recreate(rollout, stored).await?;
        } else {
            self.roll(rollout, stored).await?;
        }
        status::rolled(&rollout.deployment, rollout.new.as_ref(), &rollout.old, now)
    }

    async fn recreate(&self, rollout: &mut Rollout, stored: &Deployment) -> Result<(), Error> {
        if scale::stop_old(&self.context, &rollout.deployment, &mut rollout.old).await? {
            return Ok(());
        }
        let pods = self.context.client.list::<Pod>(Some(rollout.deployment.namespace()));
        if scale::old_pods_run(&pods, &rollout.old) {
            return Ok(());
        }
        self.roll(rollout, stored).await
    }

    async fn roll(&self, rollout: &mut Rollout, stored: &Deployment) -> Result<(), Error> {
        let mut new = match rollout.new.take() {
            Some(new) => new,
            None => self.create_new(rollout, stored).await?,
        };
        let resized = scale::roll(&self.context, &rollout.deployment, &mut new, &mut rollout.old).await?;
        rollout.new = Some(new);
        if !resized {
            self.clean_up_when_complete(rollout).await?;
        }
        Ok(())
    }

    /// Gives an existing new replica set its revision, annotations and readiness delay.
    async fn adjust_new(&self, rollout: &mut Rollout) -> Result<(), Error> {
        let Some(new) = rollout.new.as_mut() else { return Ok(()) };
        let min_ready = rollout.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let mut updated = new.clone();
        let annotated = revisions::annotate(&rollout.deployment, &mut updated, revisions::next_revision(&rollout.old));
        let spec = updated.spec.get_or_insert_default();
        let delayed = spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0);
        spec.min_ready_seconds = min_ready;
        if annotated || delayed {
            *new =
                self.context.client.update(&updated).await.context(|| format!("update replica set {}", new.key()))?;
        }
        status::note_new_set(&mut rollout.deployment, new.name(), true, clock::now());
        Ok(())
    }

    async fn create_new(&self, rollout: &mut Rollout, stored: &Deployment) -> Result<ReplicaSet, Error> {
        let collisions = rollout.deployment.status.as_ref().and_then(|status| status.collision_count);
        let set = revisions::build(&rollout.deployment, &rollout.old, collisions)?;
        let name = set.name().to_owned();
        match self.context.client.create(Some(rollout.deployment.namespace()), &set).await {
            Ok(created) => {
                let size = super::replicaset::replicas(&created);
                if size > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {size}");
                    self.context.events.normal(&rollout.deployment, COMPONENT, "ScalingReplicaSet", message);
                }
                status::note_new_set(&mut rollout.deployment, &name, false, clock::now());
                Ok(created)
            }
            Err(error) if is_already_exists(&error) => {
                // Not ours, or of another template: another suffix at the next visit.
                let status = rollout.deployment.status.get_or_insert_default();
                status.collision_count = Some(collisions.unwrap_or(0) + 1);
                let status = status.clone();
                self.write_status(stored, rollout, status).await?;
                Err(error).context(|| format!("create replica set {name}"))
            }
            Err(error) => {
                let message = format!("Failed to create new replica set \"{name}\": {error}");
                self.context.events.warning(&rollout.deployment, COMPONENT, "ReplicaSetCreateError", message.as_str());
                status::note_create_failure(&mut rollout.deployment, &message, clock::now());
                let status = rollout.deployment.status.clone().unwrap_or_default();
                self.write_status(stored, rollout, status).await?;
                Err(error).context(|| format!("create replica set {name}"))
            }
        }
    }

    async fn clean_up_when_complete(&self, rollout: &Rollout) -> Result<(), Error> {
        let status = status::counted(&rollout.deployment, rollout.new.as_ref(), &rollout.old, clock::now())?;
        if status::is_complete(&rollout.deployment, &status) {
            self.clean_up(rollout).await?;
        }
        Ok(())
    }

    async fn clean_up(&self, rollout: &Rollout) -> Result<(), Error> {
        for set in revisions::beyond_history(&rollout.deployment, &rollout.old) {
            let outcome = self
                .context
                .client
                .delete::<ReplicaSet>(Some(set.namespace()), set.name(), &DeleteOptions::default())
                .await;
            ignore_gone(outcome).context(|| format!("delete old replica set {}", set.key()))?;
        }
        Ok(())
    }

    /// Writes the revision, which is an annotation, and the status, each only if it differs from what is stored.
    async fn write_status(
        &self,
        stored: &Deployment,
        rollout: &Rollout,
        status: DeploymentStatus,
    ) -> Result<(), Error> {
        let operation = || format!("write the status of deployment {}", stored.key());
        let mut updated = Deployment { status: Some(status), ..stored.clone() };
        let revision = rollout.new.as_ref().and_then(|new| new.annotations().get(revisions::REVISION));
        if let Some(revision) =
            revision.filter(|revision| stored.annotations().get(revisions::REVISION) != Some(revision))
        {
            let patch = json!({"metadata": {"annotations": {revisions::REVISION: revision}}});
            let patched = self
                .context
                .client
                .patch::<Deployment>(Some(stored.namespace()), stored.name(), PatchKind::Merge, &patch)
                .await;
            let Some(patched) = ignore_gone(patched).context(operation)? else { return Ok(()) };
            updated.metadata = patched.metadata;
        }
        if stored.status != updated.status {
            ignore_gone(self.context.client.update_status(&updated).await).context(operation)?;
        }
        Ok(())
    }
}
