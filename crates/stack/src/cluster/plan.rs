//! What applying would change, from what the cluster has.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::applyset::{self, Scope};
use super::client::{Cluster, ClusterError};
use super::compare;
use super::kinds::{Kind, kind};
use super::manifest::{Manifest, ObjectKey};
use crate::change::{Change, ChangeKind};

/// Requests in flight. The API server of AKS's Free tier admits few hundred at a time for everybody.
pub(super) const CONCURRENCY: usize = 12;

/// Digest of the manifest as it was applied: a field that a manifest no longer has shows only here.
const HASH: &str = "marea.dev/manifest-hash";

pub struct Plan {
    /// Every object with its labels, ready to apply.
    pub manifests: Vec<Manifest>,
    /// Those that differ, by index into `manifests`.
    pub(super) pending: Vec<usize>,
    pub(super) prune: Vec<(ObjectKey, &'static Kind)>,
    pub(super) previous: Option<Scope>,
    pub(super) keep_scope: bool,
    pub changes: Vec<Change>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Everything is new: the plan for a cluster that does not exist yet.
    pub fn for_no_cluster(manifests: Vec<Manifest>) -> Plan {
        let manifests = marked(manifests);
        let changes =
            manifests.iter().map(|manifest| change(ChangeKind::Create, &manifest.key(), Vec::new())).collect();
        Plan {
            pending: (0..manifests.len()).collect(),
            prune: Vec::new(),
            previous: None,
            keep_scope: false,
            changes,
            manifests,
        }
    }
}

fn change(kind: ChangeKind, key: &ObjectKey, properties: Vec<crate::PropertyChange>) -> Change {
    Change { kind, target: key.to_string(), properties }
}

/// Adds what makes an object a member of the set.
fn marked(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    let id = applyset::id();
    for manifest in &mut manifests {
        // A release holds its objects with the digest they had.
        if let Some(annotations) = manifest.value["metadata"]["annotations"].as_object_mut() {
            annotations.remove(HASH);
        }
        manifest.set_metadata("labels", applyset::PART_OF, &id);
        let digest = Sha256::digest(manifest.value.to_string().as_bytes());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        manifest.set_metadata("annotations", HASH, &hash);
    }
    manifests.sort_by_key(|manifest| (manifest.kind.wave, manifest.key()));
    manifests
}

/// The plan that returns to a release: nothing is pruned, because a release does not hold the Secrets that its objects need.
///
/// # Errors
/// When the API cannot be reached or refuses.
pub async fn plan_rollback(cluster: &Cluster, manifests: Vec<Manifest>) -> Result<Plan, ClusterError> {
    let mut plan = plan(cluster, manifests).await?;
    plan.changes.retain(|change| change.kind != ChangeKind::Delete);
    plan.prune.clear();
    // The parent must go on naming the kinds that were not pruned.
    plan.keep_scope = true;
    Ok(plan)
}

/// Compares the manifests with the cluster. An object whose digest and whose every declared field agree is unchanged; for any
/// other the API server itself is asked, by a dry run, what applying would do.
///
/// # Errors
/// When the API cannot be reached or refuses.
pub async fn plan(cluster: &Cluster, manifests: Vec<Manifest>) -> Result<Plan, ClusterError> {
    let previous = applyset::read(cluster).await?;
    let manifests = without_foreign_definitions(cluster, marked(manifests)).await?;
    let scope = Scope::of(&manifests).union(&previous.clone().unwrap_or_default());
    let live = members(cluster, &scope).await?;

    let mut plan =
        Plan { manifests, pending: Vec::new(), prune: Vec::new(), previous, keep_scope: false, changes: Vec::new() };
    let mut doubtful = Vec::new();
    let mut strangers = Vec::new();
    for (index, manifest) in plan.manifests.iter().enumerate() {
        match live.get(&manifest.key()) {
            Some((found, _)) if compare::contains(found, &manifest.value) => {}
            Some((found, _)) => doubtful.push((index, found)),
            None => strangers.push(index),
        }
    }
    // An object may exist without the set's label, because somebody removed it or made the object by hand.
    let existing: Vec<(usize, Option<Value>)> =
        stream::iter(strangers.into_iter().map(|index| read_one(cluster, &plan.manifests[index], index)))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
    for (index, found) in &existing {
        match found {
            Some(found) => doubtful.push((*index, found)),
            None => {
                plan.pending.push(*index);
                plan.changes.push(change(ChangeKind::Create, &plan.manifests[*index].key(), Vec::new()));
            }
        }
    }
    let probes = doubtful.into_iter().map(|(index, found)| probe(cluster, &plan.manifests[index], index, found));
    let probed: Vec<(usize, Option<Change>)> = stream::iter(probes).buffer_unordered(CONCURRENCY).try_collect().await?;
    for (index, found) in probed {
        if let Some(change) = found {
            plan.pending.push(index);
            plan.changes.push(change);
        }
    }
    for (key, (_, kind)) in &live {
        if !plan.manifests.iter().any(|manifest| manifest.key() == *key) {
            plan.changes.push(change(ChangeKind::Delete, key, Vec::new()));
            plan.prune.push((key.clone(), kind));
        }
    }
    plan.pending.sort_unstable();
    plan.changes.sort_by(|a, b| (a.kind, &a.target).cmp(&(b.kind, &b.target)));
    Ok(plan)
}

/// A definition that the cluster has from elsewhere stays as it is.
async fn without_foreign_definitions(
    cluster: &Cluster,
    manifests: Vec<Manifest>,
) -> Result<Vec<Manifest>, ClusterError> {
    let Some(definition) = kind("apiextensions.k8s.io/v1", "CustomResourceDefinition") else { return Ok(manifests) };
    if !manifests.iter().any(|manifest| manifest.kind == definition) {
        return Ok(manifests);
    }
    let foreign: Vec<String> = cluster
        .list(definition, "")
        .await?
        .iter()
        .filter(|found| found["metadata"]["labels"][applyset::PART_OF] != applyset::id())
        .filter_map(|found| found["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    Ok(manifests
        .into_iter()
        .filter(|manifest| manifest.kind != definition || !foreign.iter().any(|name| name == manifest.name()))
        .collect())
}

type Members = BTreeMap<ObjectKey, (Value, &'static Kind)>;

/// Every object that carries the set's label.
pub(super) async fn members(cluster: &Cluster, scope: &Scope) -> Result<Members, ClusterError> {
    let selector = format!("{}={}", applyset::PART_OF, applyset::id());
    let lists = scope.kinds().map(|kind| {
        let selector = selector.clone();
        async move { Ok::<_, ClusterError>((kind, cluster.list(kind, &selector).await?)) }
    });
    let lists: Vec<(&'static Kind, Vec<Value>)> =
        stream::iter(lists).buffer_unordered(CONCURRENCY).try_collect().await?;
    let mut members = Members::new();
    for (kind, items) in lists {
        for mut item in items {
            // Items of a list do not repeat what the list says.
            item["apiVersion"] = Value::String(kind.api_version());
            item["kind"] = Value::String(kind.kind.to_owned());
            let key = ObjectKey {
                group: kind.group.to_owned(),
                kind: kind.kind.to_owned(),
                namespace: item["metadata"]["namespace"].as_str().map(str::to_owned),
                name: item["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            };
            members.insert(key, (item, kind));
        }
    }
    Ok(members)
}

/// How many objects the cluster has of what was applied; none before the first apply.
///
/// # Errors
/// When the API cannot be reached or refuses.
pub async fn applied_objects(cluster: &Cluster) -> Result<usize, ClusterError> {
    match applyset::read(cluster).await? {
        Some(scope) => Ok(members(cluster, &scope).await?.len()),
        None => Ok(0),
    }
}

async fn read_one(
    cluster: &Cluster,
    manifest: &Manifest,
    index: usize,
) -> Result<(usize, Option<Value>), ClusterError> {
    let path = format!("{}/{}", manifest.kind.path(manifest.namespace()), manifest.name());
    Ok((index, cluster.get(&path).await?))
}

async fn probe(
    cluster: &Cluster,
    manifest: &Manifest,
    index: usize,
    live: &Value,
) -> Result<(usize, Option<Change>), ClusterError> {
    let after = cluster.apply(manifest, true).await?;
    let properties = compare::differences(live, &after, manifest.kind.kind == "Secret");
    // The digest is this program's own bookkeeping: it moves with every real difference and is nothing to read.
    let digest = format!("metadata.annotations.{HASH}");
    let shown: Vec<_> = properties.iter().filter(|property| property.path != digest).cloned().collect();
    let changed = !properties.is_empty();
    Ok((index, changed.then(|| change(ChangeKind::Modify, &manifest.key(), shown))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::manifest::read_text;
    use super::*;

    #[test]
    fn a_plan_for_no_cluster_creates_in_waves_and_marks_every_object() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: a}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
        let plan = Plan::for_no_cluster(read_text(Path::new("x"), text).unwrap());
        let targets: Vec<&str> = plan.changes.iter().map(|change| change.target.as_str()).collect();
        assert_eq!(targets, ["Namespace a", "Deployment a/d", "Ingress a/i"]);
        for manifest in &plan.manifests {
            assert_eq!(manifest.value["metadata"]["labels"][applyset::PART_OF], applyset::id());
            assert!(manifest.value["metadata"]["annotations"][HASH].is_string());
        }
    }
}
