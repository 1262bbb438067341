//! Jobs: pods that run to completion (upstream pkg/controller/job). A finished pod is counted once: its uid stands in the
//! status while its finalizer is being removed.
//!
//! `podFailurePolicy`, `successPolicy`, `backoffLimitPerIndex` and `managedBy` are not served: such a job fails at once
//! and says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube_server::{ChangeEvent, DeleteOptions};
use units::{Millis, Timestamp};

use super::replicaset::non_zero;
use crate::claim::claim;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_key, change_owner, controlled_by};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

const COMPONENT: &str = "job-controller";
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FIRST_BACKOFF: Millis = Millis::from_secs(10);
const LAST_BACKOFF: Millis = Millis::from_secs(600);

pub(crate) struct JobController {
    context: Context,
}

impl JobController {
    pub(crate) fn new(context: &Context) -> JobController {
        JobController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for JobController {
    fn name(&self) -> &'static str {
        "job"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "jobs.batch" => dirty.push(change_key(change)),
            "pods" => dirty.extend(change_owner(change, "Job")),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Job>(None).iter().map(|job| job.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(job) = client.get::<Job>(key.namespace(), &key.name) else {
            return self.release_orphans(key).await.map(|()| None);
        };
        let (Some(spec), false) = (&job.spec, job.is_deleted()) else {
            return self.release_pods(&job).await.map(|()| None);
        };
        if finished_at(&job).is_some() {
            return self.release_pods(&job).await.map(|()| None);
        }
        let Some(selector) = &spec.selector else { return Ok(None) };
        let pods = claim::<Pod, _>(client, &*job, selector).await?;
        let now = clock::now();
        let mut status = job.status.clone().unwrap_or_default();
        let suspended = spec.suspend == Some(true);
        if status.start_time.is_none() && !suspended {
            status.start_time = Some(clock::kube_time(now));
        }
        count_finished(&mut status, spec, &pods);
        let verdict = verdict(spec, &status, &pods, now);
        let active: Vec<&Arc<Pod>> = pods.iter().filter(|pod| pods::is_active(pod)).collect();
        let mut next = deadline(spec, &status, now);
        let mut outcome = Ok(());
        let remaining = if verdict.is_some() || suspended {
            outcome = self.remove(&job, &active).await;
            0
        } else {
            match backoff(&pods, now).filter(|_| wanted(spec, &status) > active.len()) {
                Some(wait) => next = Some(next.map_or(wait, |next: Millis| next.min(wait))),
                None => outcome = self.scale(&job, spec, &status, &active).await,
            }
            self.context
                .client
                .list::<Pod>(key.namespace())
                .iter()
                .filter(|pod| pod.is_controlled_by(job.uid()) && pods::is_active(pod))
                .count()
        };
        status.active = non_zero(i32::try_from(remaining).unwrap_or(i32::MAX));
        status.ready = Some(
            i32::try_from(active.iter().filter(|pod| pods::is_ready(pod)).count())
                .unwrap_or(i32::MAX)
                .min(status.active.unwrap_or(0)),
        );
        status.terminating =
            Some(i32::try_from(pods.iter().filter(|pod| pods::is_terminating(pod)).count()).unwrap_or(i32::MAX));
        note_suspension(&mut status, suspended, now);
        self.finish(&job, &mut status, verdict, now);
        self.settle(&job, status, &pods).await?;
        outcome?;
        Ok(next)
    }
}

/// How a job ended, with the reason and message of its condition.
struct Verdict {
    complete: bool,
    reason: &'static str,
    message: String,
}

impl JobController {
    async fn scale(&self, job: &Job, spec: &JobSpec, status: &JobStatus, active: &[&Arc<Pod>]) -> Result<(), Error> {
        let wanted = wanted(spec, status);
        if active.len() > wanted {
            let mut surplus: Vec<&Arc<Pod>> = active.to_vec();
            surplus
                .sort_by_key(|pod| (pods::is_ready(pod), std::cmp::Reverse(pod.metadata.creation_timestamp.clone())));
            return self.remove(job, &surplus[..active.len() - wanted]).await;
        }
        let missing = wanted - active.len();
        let indexes: Vec<Option<i32>> = if is_indexed(spec) {
            free_indexes(spec, status, active).into_iter().take(missing).map(Some).collect()
        } else {
            vec![None; missing]
        };
        let mut creations = Vec::new();
        for index in indexes {
            creations.push(self.create(job, spec, index));
        }
        join_all(creations).await.into_iter().collect()
    }

    async fn create(&self, job: &Job, spec: &JobSpec, index: Option<i32>) -> Result<(), Error> {
        let prefix = index.map_or_else(|| job.name().to_owned(), |index| format!("{}-{index}", job.name()));
        let mut pod = pods::from_template(&spec.template, job.namespace(), &prefix, controlled_by(job));
        pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
        if let Some(index) = index {
            mark_index(&mut pod, job.name(), index);
        }
        match self.context.client.create(Some(job.namespace()), &pod).await {
            Ok(created) => {
                self.context.events.normal(
                    job,
                    COMPONENT,
                    "SuccessfulCreate",
                    format!("Created pod: {}", created.name()),
                );
                Ok(())
            }
            Err(error) => {
                self.context.events.warning(job, COMPONENT, "FailedCreate", format!("Error creating: {error}"));
                Err(error).context(|| format!("create a pod of job {}", job.key()))
            }
        }
    }

    async fn remove(&self, job: &Job, pods: &[&Arc<Pod>]) -> Result<(), Error> {
        for pod in pods {
            let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::default() };
            let outcome = self.context.client.delete::<Pod>(Some(pod.namespace()), pod.name(), &options).await;
            ignore_gone(outcome).context(|| format!("delete pod {}", pod.key()))?;
            self.context.events.normal(job, COMPONENT, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
        Ok(())
    }

    /// Pods of a job that is over need no counting any more.
    async fn release_pods(&self, job: &Job) -> Result<(), Error> {
        for pod in self.context.client.list::<Pod>(Some(job.namespace())) {
            if pod.is_controlled_by(job.uid()) && (pods::is_finished(&pod) || pod.is_deleted()) {
                self.release(&pod).await?;
            }
        }
        Ok(())
    }

    /// Pods of a job that is gone would otherwise wait for ever to be counted.
    async fn release_orphans(&self, key: &Key) -> Result<(), Error> {
        for pod in self.context.client.list::<Pod>(key.namespace()) {
            if pod.controller().is_some_and(|owner| owner.kind == "Job" && owner.name == key.name) {
                self.release(&pod).await?;
            }
        }
        Ok(())
    }

    async fn release(&self, pod: &Pod) -> Result<(), Error> {
        let mut updated = pod.clone();
        let finalizers = updated.metadata.finalizers.get_or_insert_default();
        finalizers.retain(|finalizer| finalizer != TRACKING);
        if updated.metadata.finalizers.as_ref().map(Vec::len) == pod.metadata.finalizers.as_ref().map(Vec::len) {
            return Ok(());
        }
        ignore_gone(self.context.client.update(&updated).await).context(|| format!("release pod {}", pod.key()))?;
        Ok(())
    }

    fn finish(&self, job: &Job, status: &mut JobStatus, verdict: Option<Verdict>, now: Timestamp) {
        let Some(Verdict { complete, reason, message }) = verdict else { return };
        let kind = if complete { "Complete" } else { "Failed" };
        if complete {
            status.completion_time = Some(clock::kube_time(now));
            self.context.events.normal(job, COMPONENT, "Completed", "Job completed");
            push_condition(status, "SuccessCriteriaMet", reason, &message, now);
        } else {
            self.context.events.warning(job, COMPONENT, reason, message.as_str());
            push_condition(status, "FailureTarget", reason, &message, now);
        }
        push_condition(status, kind, reason, &message, now);
    }

    /// Writes the uids of the finished pods, releases the pods, and turns the uids into numbers.
    async fn settle(&self, job: &Job, mut status: JobStatus, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let mut stored = self.write_status(job, status.clone()).await?;
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let waiting = uncounted.succeeded.iter().flatten().chain(uncounted.failed.iter().flatten());
        let waiting: BTreeSet<&String> = waiting.collect();
        if waiting.is_empty() {
            return Ok(());
        }
        for pod in pods.iter().filter(|pod| waiting.contains(&pod.uid().to_owned())) {
            self.release(pod).await?;
        }
        let add = |count: &mut Option<i32>, uids: Option<Vec<String>>| {
            *count = non_zero(count.unwrap_or(0) + i32::try_from(uids.map_or(0, |uids| uids.len())).unwrap_or(0));
        };
        add(&mut status.succeeded, uncounted.succeeded);
        add(&mut status.failed, uncounted.failed);
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods::default());
        if let Some(stored) = stored.take() {
            self.write_status(&stored, status).await?;
        }
        Ok(())
    }

    async fn write_status(&self, job: &Job, status: JobStatus) -> Result<Option<Job>, Error> {
        if job.status.as_ref() == Some(&status) {
            return Ok(Some(job.clone()));
        }
        let updated = Job { status: Some(status), ..job.clone() };
        let outcome = ignore_gone(self.context.client.update_status(&updated).await);
        outcome.context(|| format!("write the status of job {}", job.key()))
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

pub(super) fn finished_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let end = conditions
        .into_iter()
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")?;
    end.last_transition_time.as_ref().map(clock::from_kube)
}

fn has_tracking(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

fn index_of(pod: &Pod) -> Option<i32> {
    pod.annotations().get(INDEX)?.parse().ok()
}

fn mark_index(pod: &mut Pod, job: &str, index: i32) {
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{job}-{index}"));
    let path = format!("metadata.annotations['{INDEX}']");
    let source = EnvVarSource {
        field_ref: Some(ObjectFieldSelector { field_path: path, api_version: None }),
        ..EnvVarSource::default()
    };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let env = container.env.get_or_insert_default();
        env.push(EnvVar { name: "JOB_COMPLETION_INDEX".to_owned(), value: None, value_from: Some(source.clone()) });
    }
}

/// Puts finished pods that still carry the finalizer into the status. A pod deleted before it ended has failed.
fn count_finished(status: &mut JobStatus, spec: &JobSpec, pods: &[Arc<Pod>]) {
    let mut indexes = parse_indexes(status.completed_indexes.as_deref().unwrap_or_default());
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    for pod in pods.iter().filter(|pod| has_tracking(pod)) {
        let succeeded = pods::phase(pod) == "Succeeded";
        if !succeeded && pods::phase(pod) != "Failed" {
            continue;
        }
        let list = if succeeded { &mut uncounted.succeeded } else { &mut uncounted.failed };
        let list = list.get_or_insert_default();
        if !list.iter().any(|uid| uid == pod.uid()) {
            list.push(pod.uid().to_owned());
        }
        if let (true, Some(index)) = (succeeded, index_of(pod)) {
            indexes.insert(index);
        }
    }
    if is_indexed(spec) {
        status.completed_indexes = (!indexes.is_empty()).then(|| format_indexes(&indexes));
    }
}

fn successes(spec: &JobSpec, status: &JobStatus) -> i32 {
    if is_indexed(spec) {
        return i32::try_from(parse_indexes(status.completed_indexes.as_deref().unwrap_or_default()).len())
            .unwrap_or(i32::MAX);
    }
    status.succeeded.unwrap_or(0) + uncounted(status, |pods| pods.succeeded.as_ref())
}

fn failures(status: &JobStatus) -> i32 {
    status.failed.unwrap_or(0) + uncounted(status, |pods| pods.failed.as_ref())
}

fn uncounted(status: &JobStatus, list: impl Fn(&UncountedTerminatedPods) -> Option<&Vec<String>>) -> i32 {
    status
        .uncounted_terminated_pods
        .as_ref()
        .and_then(list)
        .map_or(0, |list| i32::try_from(list.len()).unwrap_or(i32::MAX))
}

fn verdict(spec: &JobSpec, status: &JobStatus, pods: &[Arc<Pod>], now: Timestamp) -> Option<Verdict> {
    let failed = |reason, message: String| Some(Verdict { complete: false, reason, message });
    if let Some(field) = unsupported(spec) {
        return failed("Unsupported", format!("this cluster does not serve spec.{field}: remove it"));
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    // With OnFailure the kubelet restarts containers in the same pod, and their restarts count.
    let restarts: i32 = pods.iter().filter(|pod| pods::is_active(pod)).map(|pod| pods::restarts(pod)).sum();
    if failures(status) > limit || (restarts > 0 && failures(status) + restarts > limit) {
        return failed("BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned());
    }
    if deadline(spec, status, now).is_some_and(|left| left <= Millis::ZERO) {
        return failed("DeadlineExceeded", "Job was active longer than specified deadline".to_owned());
    }
    let done = successes(spec, status);
    let complete = match spec.completions {
        Some(completions) => done >= completions,
        // A work queue: one success means that it is empty, and the others finish by themselves.
        None => done > 0 && !pods.iter().any(|pod| pods::is_active(pod)),
    };
    let message = || "Reached expected number of succeeded pods".to_owned();
    complete.then(|| Verdict { complete: true, reason: "CompletionsReached", message: message() })
}

fn unsupported(spec: &JobSpec) -> Option<&'static str> {
    let present = [
        (spec.pod_failure_policy.is_some(), "podFailurePolicy"),
        (spec.success_policy.is_some(), "successPolicy"),
        (spec.backoff_limit_per_index.is_some(), "backoffLimitPerIndex"),
        (spec.managed_by.as_deref().is_some_and(|by| by != "kubernetes.io/job-controller"), "managedBy"),
    ];
    present.into_iter().find(|(present, _)| *present).map(|(_, field)| field)
}

/// How long the job may still run.
fn deadline(spec: &JobSpec, status: &JobStatus, now: Timestamp) -> Option<Millis> {
    let started = clock::from_kube(status.start_time.as_ref()?);
    Some(started + Millis::from_secs(spec.active_deadline_seconds?) - now)
}

/// How many pods should run now.
fn wanted(spec: &JobSpec, status: &JobStatus) -> usize {
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        Some(completions) => (completions - successes(spec, status)).min(parallelism),
        None if successes(spec, status) > 0 => 0,
        None => parallelism,
    };
    usize::try_from(wanted).unwrap_or(0)
}

/// After failures a new pod waits 10 s, then twice as long each time, up to 10 minutes after the last failure.
fn backoff(pods: &[Arc<Pod>], now: Timestamp) -> Option<Millis> {
    let ends = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let ends = statuses.filter_map(|status| {
            status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(clock::from_kube)
        });
        ends.max().or_else(|| pod.metadata.creation_timestamp.as_ref().map(clock::from_kube))
    };
    let failed: Vec<Timestamp> =
        pods.iter().filter(|pod| pods::phase(pod) == "Failed").filter_map(|pod| ends(pod)).collect();
    let last = failed.iter().max()?;
    let doublings = u32::try_from(failed.len() - 1).unwrap_or(u32::MAX).min(16);
    let delay = FIRST_BACKOFF.0.saturating_mul(1_i64 << doublings).min(LAST_BACKOFF.0);
    let left = *last + Millis(delay) - now;
    (left > Millis::ZERO).then_some(left)
}

fn free_indexes(spec: &JobSpec, status: &JobStatus, active: &[&Arc<Pod>]) -> Vec<i32> {
    let done = parse_indexes(status.completed_indexes.as_deref().unwrap_or_default());
    let running: BTreeSet<i32> = active.iter().filter_map(|pod| index_of(pod)).collect();
    (0..spec.completions.unwrap_or(0)).filter(|index| !done.contains(index) && !running.contains(index)).collect()
}

/// `0-2,5`
fn parse_indexes(text: &str) -> BTreeSet<i32> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            indexes.extend(first..=last);
        }
    }
    indexes
}

fn format_indexes(indexes: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    // Two neighbours are a list, three or more a range, as upstream prints them.
    let text = |(first, last): &(i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

fn push_condition(status: &mut JobStatus, kind: &str, reason: &str, message: &str, now: Timestamp) {
    status.conditions.get_or_insert_default().push(JobCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(clock::kube_time(now)),
        last_transition_time: Some(clock::kube_time(now)),
    });
}

fn note_suspension(status: &mut JobStatus, suspended: bool, now: Timestamp) {
    let known = status.conditions.iter_mut().flatten().find(|condition| condition.type_ == "Suspended");
    let wanted = if suspended { "True" } else { "False" };
    match known {
        Some(condition) if condition.status != wanted => {
            condition.status = wanted.to_owned();
            let (reason, message) =
                if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
            condition.reason = Some(reason.to_owned());
            condition.message = Some(message.to_owned());
            condition.last_transition_time = Some(clock::kube_time(now));
            status.start_time = (!suspended).then(|| clock::kube_time(now));
        }
        None if suspended => push_condition(status, "Suspended", "JobSuspended", "Job suspended", now),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[i32]) {
        let indexes = parse_indexes(text);
        assert_eq!(indexes.iter().copied().collect::<Vec<_>>(), expected);
        assert_eq!(format_indexes(&indexes), text);
    }

    #[test]
    fn indexes_read_and_print_as_upstream() {
        check("", &[]);
        check("3", &[3]);
        check("0,1", &[0, 1]);
        check("0-2,5,7,8", &[0, 1, 2, 5, 7, 8]);
    }

    fn check_wanted(completions: Option<i32>, parallelism: i32, succeeded: i32, expected: usize) {
        let spec = JobSpec { completions, parallelism: Some(parallelism), ..JobSpec::default() };
        let status = JobStatus { succeeded: Some(succeeded), ..JobStatus::default() };
        assert_eq!(wanted(&spec, &status), expected);
    }

    #[test]
    fn no_more_pods_than_completions_are_missing() {
        check_wanted(Some(5), 2, 0, 2);
        check_wanted(Some(5), 2, 4, 1);
        check_wanted(Some(5), 2, 5, 0);
        check_wanted(None, 3, 0, 3);
        check_wanted(None, 3, 1, 0);
    }
}
