//! The status of a deployment: counters and the conditions Available, Progressing and ReplicaFailure
//! (upstream pkg/controller/deployment/{sync,progress}.go).

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use units::{Millis, Timestamp};

use super::rollout;
use crate::clock;
use crate::controllers::replicaset::non_zero;
use crate::error::Error;
use crate::objects::Meta;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// A deadline of the largest 32-bit number stands for none.
pub(super) fn deadline(deployment: &Deployment) -> Option<Millis> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| Millis::from_secs(i64::from(seconds)))
}

pub(super) fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn new_condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(clock::kube_time(now)),
        last_transition_time: Some(clock::kube_time(now)),
    }
}

/// Nothing changes while status and reason stay; the transition time stays while the status does.
fn set_condition(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(current) = self::condition(status, &condition.type_) {
        if current.status == condition.status && current.reason == condition.reason {
            return;
        }
        if current.status == condition.status {
            condition.last_transition_time.clone_from(&current.last_transition_time);
        }
    }
    remove_condition(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

fn remove_condition(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = status.conditions.as_mut() {
        conditions.retain(|condition| condition.type_ != kind);
    }
    if status.conditions.as_ref().is_some_and(Vec::is_empty) {
        status.conditions = None;
    }
}

/// Pausing and resuming restart the progress clock, unless the rollout is known to be stuck.
pub(super) fn note_pause(deployment: &mut Deployment, now: Timestamp) {
    if deadline(deployment).is_none() {
        return;
    }
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
    let status = deployment.status.get_or_insert_default();
    let reason = condition(status, PROGRESSING).and_then(|condition| condition.reason.clone());
    let noted = reason.as_deref() == Some(PAUSED);
    if reason.as_deref() == Some(TIMED_OUT) || paused == noted {
        return;
    }
    let (reason, message) =
        if paused { (PAUSED, "Deployment is paused") } else { ("DeploymentResumed", "Deployment is resumed") };
    set_condition(status, new_condition(PROGRESSING, "Unknown", reason, message.to_owned(), now));
}

pub(super) fn note_new_set(deployment: &mut Deployment, set: &str, found: bool, now: Timestamp) {
    let has_deadline = deadline(deployment).is_some();
    let status = deployment.status.get_or_insert_default();
    if !has_deadline || (found && condition(status, PROGRESSING).is_some()) {
        return;
    }
    let (reason, message) = if found {
        ("FoundNewReplicaSet", format!("Found new replica set \"{set}\""))
    } else {
        ("NewReplicaSetCreated", format!("Created new replica set \"{set}\""))
    };
    set_condition(status, new_condition(PROGRESSING, "True", reason, message, now));
}

pub(super) fn note_create_failure(deployment: &mut Deployment, message: &str, now: Timestamp) {
    if deadline(deployment).is_some() {
        let condition = new_condition(PROGRESSING, "False", "ReplicaSetCreateError", message.to_owned(), now);
        set_condition(deployment.status.get_or_insert_default(), condition);
    }
}

/// The counters and the Available condition.
pub(super) fn counted(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    old: &[ReplicaSet],
    now: Timestamp,
) -> Result<DeploymentStatus, Error> {
    let all = || new.into_iter().chain(old);
    let sum = |count: &dyn Fn(&ReplicaSet) -> i32| all().map(count).sum::<i32>();
    let stored = |set: &ReplicaSet| set.status.clone().unwrap_or_default();
    let available = rollout::available(all());
    let current = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: non_zero(sum(&|set| stored(set).replicas)),
        updated_replicas: non_zero(new.map_or(0, |set| stored(set).replicas)),
        ready_replicas: non_zero(sum(&|set| stored(set).ready_replicas.unwrap_or(0))),
        available_replicas: non_zero(available),
        unavailable_replicas: non_zero((rollout::total(all()) - available).max(0)),
        terminating_replicas: Some(sum(&|set| stored(set).terminating_replicas.unwrap_or(0))),
        collision_count: current.collision_count,
        conditions: current.conditions,
    };
    let enough = available >= rollout::wanted(deployment) - rollout::fenceposts(deployment)?.unavailable;
    let available = if enough {
        new_condition(
            AVAILABLE,
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.".to_owned(),
            now,
        )
    } else {
        new_condition(
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.".to_owned(),
            now,
        )
    };
    set_condition(&mut status, available);
    Ok(status)
}

/// The status during a rollout: the counters, whether it progresses, and the failures of its replica sets.
pub(super) fn rolled(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    old: &[ReplicaSet],
    now: Timestamp,
) -> Result<DeploymentStatus, Error> {
    let mut status = counted(deployment, new, old, now)?;
    let before = deployment.status.clone().unwrap_or_default();
    let progressing = condition(&before, PROGRESSING).cloned();
    let was_complete = status.replicas == status.updated_replicas
        && progressing.as_ref().is_some_and(|condition| condition.reason.as_deref() == Some(NEW_SET_AVAILABLE));
    match deadline(deployment) {
        None => remove_condition(&mut status, PROGRESSING),
        Some(_) if was_complete => {}
        Some(deadline) => note_progress(deployment, new, &before, &mut status, deadline, now),
    }
    match failure(new, old) {
        Some(condition) => set_condition(&mut status, condition),
        None => remove_condition(&mut status, REPLICA_FAILURE),
    }
    Ok(status)
}

fn note_progress(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    before: &DeploymentStatus,
    status: &mut DeploymentStatus,
    deadline: Millis,
    now: Timestamp,
) {
    let subject = match new {
        Some(set) => format!("ReplicaSet \"{}\"", set.name()),
        None => format!("Deployment \"{}\"", deployment.name()),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set_condition(status, new_condition(PROGRESSING, "True", NEW_SET_AVAILABLE, message, now));
    } else if has_progressed(before, status) {
        let mut next =
            new_condition(PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), now);
        // Every step renews the update time, from which the deadline counts, though status and reason stay.
        if let Some(current) = condition(before, PROGRESSING) {
            if current.status == "True" {
                next.last_transition_time.clone_from(&current.last_transition_time);
            }
            remove_condition(status, PROGRESSING);
        }
        set_condition(status, next);
    } else if has_timed_out(status, deadline, now) {
        let message = format!("{subject} has timed out progressing.");
        set_condition(status, new_condition(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = rollout::wanted(deployment);
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| count.unwrap_or(0) == wanted)
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    now.updated_replicas > before.updated_replicas
        || old(now) < old(before)
        || now.ready_replicas > before.ready_replicas
        || now.available_replicas > before.available_replicas
}

fn has_timed_out(status: &DeploymentStatus, deadline: Millis, now: Timestamp) -> bool {
    let Some(condition) = condition(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => condition.last_update_time.as_ref().is_some_and(|since| clock::from_kube(since) + deadline < now),
    }
}

/// When a rollout that stands still must be looked at again.
pub(super) fn check_again(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<Millis> {
    let deadline = deadline(deployment)?;
    let condition = condition(status, PROGRESSING)?;
    if is_complete(deployment, status) || matches!(condition.reason.as_deref(), Some(TIMED_OUT | PAUSED)) {
        return None;
    }
    let since = clock::from_kube(condition.last_update_time.as_ref()?);
    Some((since + deadline - now).max(Millis(0)) + Millis(1000))
}

/// The first failure, of the new set rather than of an old one.
fn failure(new: Option<&ReplicaSet>, old: &[ReplicaSet]) -> Option<DeploymentCondition> {
    let conditions = new
        .into_iter()
        .chain(old)
        .flat_map(|set| set.status.iter().flat_map(|status| status.conditions.iter().flatten()));
    let failed = conditions.into_iter().find(|condition| condition.type_ == REPLICA_FAILURE)?;
    Some(DeploymentCondition {
        type_: failed.type_.clone(),
        status: failed.status.clone(),
        reason: failed.reason.clone(),
        message: failed.message.clone(),
        last_transition_time: failed.last_transition_time.clone(),
        last_update_time: failed.last_transition_time.clone(),
    })
}
