//! Doing what a plan says, wave by wave.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use super::applyset::{self, Scope};
use super::client::{Cluster, ClusterError};
use super::kinds::Wave;
use super::plan::{self, CONCURRENCY, Plan};
use crate::report::Reporter;

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub applied: usize,
    pub pruned: usize,
}

/// Applies what differs and prunes what the manifests no longer have. An interrupted run leaves a set that the next one
/// completes: the parent names every kind before the first object of it is written, and forgets one only after the last is gone.
///
/// # Errors
/// When the API cannot be reached or refuses an object.
pub async fn apply(cluster: &Cluster, plan: &Plan, reporter: &dyn Reporter) -> Result<Applied, ClusterError> {
    let declared = Scope::of(&plan.manifests);
    let wide = declared.union(&plan.previous.clone().unwrap_or_default());
    if plan.previous.as_ref() != Some(&wide) && !(plan.is_empty() && plan.previous.is_some()) {
        applyset::write(cluster, &wide).await?;
    }
    let mut applied = 0;
    for wave in Wave::ALL {
        let pending: Vec<_> = plan
            .pending
            .iter()
            .map(|index| &plan.manifests[*index])
            .filter(|manifest| manifest.kind.wave == wave)
            .collect();
        if pending.is_empty() {
            continue;
        }
        reporter.status(&format!("deploy: applying {} objects ({wave:?})", pending.len()));
        let requests = pending.iter().map(|manifest| apply_when_served(cluster, manifest));
        let results: Vec<Value> = stream::iter(requests).buffer_unordered(CONCURRENCY).try_collect().await?;
        applied += results.len();
        wait_for_definitions(cluster, &pending).await?;
    }
    // The last wave first: an Ingress before its Service, a Deployment before its namespace.
    let mut prune: Vec<_> = plan.prune.iter().collect();
    prune.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.wave));
    for (key, kind) in prune {
        reporter.status(&format!("deploy: deleting {key}"));
        cluster.delete(kind, key.namespace.as_deref(), &key.name).await?;
    }
    if wide != declared && !plan.keep_scope {
        applyset::write(cluster, &declared).await?;
    }
    Ok(Applied { applied, pruned: plan.prune.len() })
}

/// Some requests are refused for a moment although nothing is wrong: a namespace made an instant ago has no default service
/// account yet, a definition is accepted before its kind is served, an object is being written by a controller.
async fn apply_when_served(cluster: &Cluster, manifest: &super::Manifest) -> Result<Value, ClusterError> {
    const PATIENCE: Duration = Duration::from_secs(15);
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        match cluster.apply(manifest, false).await {
            Err(ClusterError::Refused { code: 404 | 409 | 429 | 503, .. }) if start.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            other => return other,
        }
    }
}

async fn wait_for_definitions(cluster: &Cluster, applied: &[&super::Manifest]) -> Result<(), ClusterError> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = Instant::now();
    for manifest in applied.iter().filter(|manifest| manifest.kind.kind == "CustomResourceDefinition") {
        let path = format!("{}/{}", manifest.kind.path(None), manifest.name());
        while start.elapsed() < PATIENCE {
            let found = cluster.get(&path).await?.unwrap_or_default();
            let established = found["status"]["conditions"].as_array().is_some_and(|conditions| {
                conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
            });
            if established {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Deletes every member of the set and then its record. `false` where there is none.
///
/// # Errors
/// When the API cannot be reached or refuses.
pub async fn destroy(cluster: &Cluster, reporter: &dyn Reporter) -> Result<bool, ClusterError> {
    let Some(scope) = applyset::read(cluster).await? else { return Ok(false) };
    let members = plan::members(cluster, &scope).await?;
    let mut members: Vec<_> = members.iter().map(|(key, (_, kind))| (key, *kind)).collect();
    members.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.wave));
    for wave in Wave::ALL.into_iter().rev() {
        let of_wave: Vec<_> = members.iter().filter(|(_, kind)| kind.wave == wave).collect();
        if of_wave.is_empty() {
            continue;
        }
        reporter.status(&format!("deploy: deleting {} objects ({wave:?})", of_wave.len()));
        let requests = of_wave.iter().map(|(key, kind)| cluster.delete(kind, key.namespace.as_deref(), &key.name));
        let _: Vec<bool> = stream::iter(requests).buffer_unordered(CONCURRENCY).try_collect().await?;
    }
    wait_until_gone(cluster, &scope).await?;
    cluster.delete(applyset::parent_kind(), Some(applyset::PARENT_NAMESPACE), applyset::PARENT_NAME).await?;
    Ok(true)
}

/// Namespaces take their pods' grace periods. The record stays until they are gone, so that an interrupted run finds them again.
async fn wait_until_gone(cluster: &Cluster, scope: &Scope) -> Result<(), ClusterError> {
    const PATIENCE: Duration = Duration::from_secs(180);
    let start = Instant::now();
    let mut pause = Duration::from_millis(50);
    while start.elapsed() < PATIENCE {
        if plan::members(cluster, scope).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Ok(())
}
