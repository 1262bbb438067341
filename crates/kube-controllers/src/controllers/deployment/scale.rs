//! Sizing the replica sets of one deployment: rolling, recreating, and proportionally when the deployment is scaled.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use super::COMPONENT;
use super::revisions::{self, created};
use super::rollout::{self, DESIRED_REPLICAS, annotation, available_of, fenceposts, wanted};
use crate::context::Context;
use crate::controllers::replicaset::replicas;
use crate::error::{Context as _, Error};
use crate::objects::Meta;
use crate::pods;

/// Gives a replica set a size; true if it had another one.
pub(super) async fn resize(
    context: &Context,
    deployment: &Deployment,
    set: &mut ReplicaSet,
    size: i32,
) -> Result<bool, Error> {
    let before = replicas(set);
    let mut updated = set.clone();
    updated.spec.get_or_insert_default().replicas = Some(size);
    let annotated = revisions::annotate_size(deployment, &mut updated)?;
    if before == size && !annotated {
        return Ok(false);
    }
    *set = context.client.update(&updated).await.context(|| format!("scale replica set {} to {size}", set.key()))?;
    if before == size {
        return Ok(false);
    }
    let direction = if before < size { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {} from {before} to {size}", set.name());
    context.events.normal(deployment, COMPONENT, "ScalingReplicaSet", message);
    Ok(true)
}

async fn resize_lazily(
    context: &Context,
    deployment: &Deployment,
    set: &mut ReplicaSet,
    size: i32,
) -> Result<bool, Error> {
    if replicas(set) == size {
        return Ok(false);
    }
    resize(context, deployment, set, size).await
}

/// One step of a rolling update; true if anything was resized.
pub(super) async fn roll(
    context: &Context,
    deployment: &Deployment,
    new: &mut ReplicaSet,
    old: &mut [ReplicaSet],
) -> Result<bool, Error> {
    let size = match replicas(new) {
        now if now >= wanted(deployment) => wanted(deployment),
        now => rollout::new_size(deployment, rollout::total(old.iter().chain([&*new])), now)?,
    };
    if resize_lazily(context, deployment, new, size).await? {
        return Ok(true);
    }
    shrink_old(context, deployment, new, old).await
}

async fn shrink_old(
    context: &Context,
    deployment: &Deployment,
    new: &ReplicaSet,
    old: &mut [ReplicaSet],
) -> Result<bool, Error> {
    let old_total = rollout::total(old.iter());
    if old_total == 0 {
        return Ok(false);
    }
    let least = wanted(deployment) - fenceposts(deployment)?.unavailable;
    let new_unavailable = replicas(new) - available_of(new);
    // Unavailable pods of the new set count as missing, so that a rollout that does not start stops here.
    let room = old_total + replicas(new) - least - new_unavailable;
    if room <= 0 {
        return Ok(false);
    }
    revisions::sort_by_age(old);
    let cleaned = remove_unhealthy(context, deployment, old, room).await?;
    let spare = rollout::available(old.iter().chain([new])) - least;
    let removed = remove_spare(context, deployment, old, spare).await?;
    Ok(cleaned + removed > 0)
}

/// Pods of old sets that are not available go first: they serve nobody.
async fn remove_unhealthy(
    context: &Context,
    deployment: &Deployment,
    old: &mut [ReplicaSet],
    most: i32,
) -> Result<i32, Error> {
    let mut removed = 0;
    for set in old {
        let count = (most - removed).min(replicas(set) - available_of(set));
        if count > 0 {
            let size = replicas(set) - count;
            resize_lazily(context, deployment, set, size).await?;
            removed += count;
        }
    }
    Ok(removed)
}

async fn remove_spare(
    context: &Context,
    deployment: &Deployment,
    old: &mut [ReplicaSet],
    spare: i32,
) -> Result<i32, Error> {
    let mut removed = 0;
    for set in old {
        let count = (spare - removed).min(replicas(set));
        if count > 0 {
            let size = replicas(set) - count;
            resize_lazily(context, deployment, set, size).await?;
            removed += count;
        }
    }
    Ok(removed)
}

/// Scales every old set to nothing; true if one had replicas.
pub(super) async fn stop_old(
    context: &Context,
    deployment: &Deployment,
    old: &mut [ReplicaSet],
) -> Result<bool, Error> {
    let mut scaled = false;
    for set in old {
        scaled |= resize_lazily(context, deployment, set, 0).await?;
    }
    Ok(scaled)
}

/// Whether a pod of an old set may still run, for `Recreate` starts nothing before.
pub(super) fn old_pods_run(pods: &[Arc<Pod>], old: &[ReplicaSet]) -> bool {
    old.iter().any(|set| {
        set.status.as_ref().is_some_and(|status| status.replicas > 0)
            || pods.iter().any(|pod| pod.is_controlled_by(set.uid()) && !pods::is_finished(pod))
    })
}

/// Whether the deployment's size was changed since its active sets were sized.
pub(super) fn was_scaled(deployment: &Deployment, new: Option<&ReplicaSet>, old: &[ReplicaSet]) -> bool {
    let active = new.into_iter().chain(old).filter(|set| replicas(set) > 0);
    active.filter_map(|set| annotation(set, DESIRED_REPLICAS)).any(|desired| desired != wanted(deployment))
}

/// Spreads a changed size over the sets in proportion, so that scaling neither hastens nor undoes a rollout.
pub(super) async fn rescale(
    context: &Context,
    deployment: &Deployment,
    new: &mut Option<ReplicaSet>,
    old: &mut [ReplicaSet],
) -> Result<(), Error> {
    let saturated = new.as_ref().is_some_and(|new| is_saturated(deployment, new));
    let mut active: Vec<&mut ReplicaSet> = old.iter_mut().chain(new.as_mut()).filter(|set| replicas(set) > 0).collect();
    if let [only] = active.as_mut_slice() {
        resize_lazily(context, deployment, only, wanted(deployment)).await?;
        return Ok(());
    }
    if active.is_empty() {
        let newest = new.as_mut().or_else(|| old.iter_mut().max_by_key(|set| created(set)));
        if let Some(set) = newest {
            resize_lazily(context, deployment, set, wanted(deployment)).await?;
        }
        return Ok(());
    }
    if saturated {
        stop_old(context, deployment, old).await?;
        return Ok(());
    }
    if rollout::is_recreate(deployment) {
        return Ok(());
    }
    let sizes = proportional_sizes(deployment, &mut active)?;
    for (set, size) in active.into_iter().zip(sizes) {
        resize(context, deployment, set, size).await?;
    }
    Ok(())
}

fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    replicas(new) == wanted && annotation(new, DESIRED_REPLICAS) == Some(wanted) && available_of(new) == wanted
}

/// Sorts `active` by size, the largest first, and returns their new sizes in that order.
fn proportional_sizes(deployment: &Deployment, active: &mut [&mut ReplicaSet]) -> Result<Vec<i32>, Error> {
    let wanted = wanted(deployment);
    let most = if wanted > 0 { wanted + fenceposts(deployment)?.surge } else { 0 };
    let to_add = most - rollout::total(active.iter().map(|set| &**set));
    active.sort_by(|a, b| {
        let by_age = created(a).cmp(&created(b)).then_with(|| a.name().cmp(b.name()));
        replicas(b).cmp(&replicas(a)).then(if to_add > 0 { by_age.reverse() } else { by_age })
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in active.iter() {
        let share = rollout::proportion(set, deployment, to_add, added)?;
        added += share;
        sizes.push(replicas(set) + share);
    }
    // What rounding left over goes to the largest.
    if let Some(largest) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy, ReplicaSetSpec, RollingUpdateDeployment};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;

    fn check(wanted: i32, most_before: i32, sizes: &[i32], expected: &[i32]) {
        let deployment = Deployment {
            spec: Some(DeploymentSpec {
                replicas: Some(wanted),
                strategy: Some(DeploymentStrategy {
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::Int(3)),
                        max_unavailable: Some(IntOrString::Int(2)),
                    }),
                    ..DeploymentStrategy::default()
                }),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        };
        let mut sets: Vec<ReplicaSet> = sizes
            .iter()
            .map(|size| ReplicaSet {
                metadata: ObjectMeta {
                    name: Some(format!("set-{size}")),
                    annotations: Some([(rollout::MAX_REPLICAS.to_owned(), most_before.to_string())].into()),
                    ..ObjectMeta::default()
                },
                spec: Some(ReplicaSetSpec { replicas: Some(*size), ..ReplicaSetSpec::default() }),
                status: None,
            })
            .collect();
        let mut active: Vec<&mut ReplicaSet> = sets.iter_mut().collect();
        assert_eq!(proportional_sizes(&deployment, &mut active).unwrap(), expected);
    }

    #[test]
    fn a_scaled_rollout_keeps_its_proportions() {
        // The example of the Kubernetes documentation: 8 old and 5 new pods of 10, scaled to 15, become 11 and 7.
        check(15, 13, &[5, 8], &[11, 7]);
        check(0, 13, &[5, 8], &[0, 0]);
        check(10, 13, &[5, 8], &[8, 5]);
        check(5, 13, &[5, 8], &[5, 3]);
    }
}
