//! Revisions: which replica set is the new one, its number, and how many old ones stay.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use units::Timestamp;

use super::rollout::{self, DESIRED_REPLICAS, MAX_REPLICAS};
use crate::clock;
use crate::error::Error;
use crate::hash;
use crate::objects::{Labels, Meta, controlled_by};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Upstream's limit of the history annotation, in bytes (pkg/controller/deployment/sync.go).
const HISTORY_BYTES: usize = 2000;
/// What describes the deployment itself and not its revision.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

pub(super) fn created(set: &ReplicaSet) -> Timestamp {
    set.metadata.creation_timestamp.as_ref().map(clock::from_kube).unwrap_or_default()
}

/// Oldest first, by name among equals.
pub(super) fn sort_by_age(sets: &mut [ReplicaSet]) {
    sets.sort_by(|a, b| (created(a), a.name()).cmp(&(created(b), b.name())));
}

/// Takes the replica set whose template is the deployment's out of `sets`: the oldest, should there be several.
pub(super) fn take_new(deployment: &Deployment, sets: &mut Vec<ReplicaSet>) -> Option<ReplicaSet> {
    sort_by_age(sets);
    let template = deployment.spec.as_ref().map(|spec| &spec.template)?;
    let position = sets.iter().position(|set| has_template(set, template))?;
    Some(sets.remove(position))
}

pub(super) fn has_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    own.is_some_and(|own| without_hash(own) == without_hash(template))
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    meta.labels.get_or_insert_default().remove(TEMPLATE_HASH);
    template
}

pub(super) fn revision(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The number of the new revision: one more than any old one.
pub(super) fn next_revision(old: &[ReplicaSet]) -> i64 {
    old.iter().map(revision).max().unwrap_or(0) + 1
}

/// The replica set of the deployment's template, of the given size.
pub(super) fn build(deployment: &Deployment, old: &[ReplicaSet], collisions: Option<i32>) -> Result<ReplicaSet, Error> {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash = hash::suffix(&spec.template, collisions)?;
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut match_labels = spec.selector.match_labels.clone().unwrap_or_default();
    match_labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let size = rollout::new_size(deployment, rollout::total(old), 0)?;
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(set_name(deployment.name(), &hash)),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector {
                match_labels: Some(match_labels),
                match_expressions: spec.selector.match_expressions,
            },
            template: Some(template),
        }),
        status: None,
    };
    annotate(deployment, &mut set, next_revision(old));
    annotate_size(deployment, &mut set)?;
    Ok(set)
}

/// A replica set's name has at most 253 bytes: a long deployment name is cut, the hash is not.
fn set_name(deployment: &str, hash: &str) -> String {
    let room = 253 - hash.len() - 1;
    format!("{}-{hash}", deployment.get(..room).unwrap_or(deployment))
}

/// Brings the new set's annotations up to date; true if they changed.
pub(super) fn annotate(deployment: &Deployment, set: &mut ReplicaSet, newest: i64) -> bool {
    let before = set.metadata.annotations.clone().unwrap_or_default();
    let old_revision = before.get(REVISION).cloned();
    let mut annotations = before.clone();
    for (name, value) in deployment.annotations() {
        if !NOT_COPIED.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    let old_number: i64 = old_revision.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if old_number < newest {
        annotations.insert(REVISION.to_owned(), newest.to_string());
        if let Some(old) = old_revision {
            remember(&mut annotations, &old);
        }
    }
    let changed = annotations != before;
    set.metadata.annotations = Some(annotations);
    changed
}

/// A set that becomes the newest again keeps its earlier numbers, the oldest of them dropped where room is short.
fn remember(annotations: &mut Labels, old_revision: &str) {
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    let mut revisions: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
    revisions.push(old_revision);
    let mut joined = revisions.join(",");
    while joined.len() > HISTORY_BYTES && revisions.len() > 1 {
        revisions.remove(0);
        joined = revisions.join(",");
    }
    annotations.insert(REVISION_HISTORY.to_owned(), joined);
}

/// Notes what the deployment wanted when this set was sized, from which a later scaling is recognised; true if changed.
pub(super) fn annotate_size(deployment: &Deployment, set: &mut ReplicaSet) -> Result<bool, Error> {
    let wanted = rollout::wanted(deployment);
    let most = wanted + rollout::fenceposts(deployment)?.surge;
    let annotations = set.metadata.annotations.get_or_insert_default();
    let mut changed = false;
    for (name, value) in [(DESIRED_REPLICAS, wanted.to_string()), (MAX_REPLICAS, most.to_string())] {
        changed |= annotations.insert(name.to_owned(), value.clone()) != Some(value);
    }
    Ok(changed)
}

/// The old sets beyond the history limit, of those that run nothing.
pub(super) fn beyond_history<'a>(deployment: &Deployment, old: &'a [ReplicaSet]) -> Vec<&'a ReplicaSet> {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
    let mut alive: Vec<&ReplicaSet> = old.iter().filter(|set| !set.is_deleted()).collect();
    let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    alive.sort_by_key(|set| (revision(set), created(set)));
    alive.truncate(surplus);
    alive.retain(|set| is_idle(set));
    alive
}

fn is_idle(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    status.replicas == 0 && rollout::total([set]) == 0 && set.metadata.generation <= status.observed_generation
}
