//! Cron jobs: a job at every scheduled time (upstream pkg/controller/cronjob). Schedules are in UTC; another
//! `spec.timeZone` is reported and not run.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::{ChangeEvent, DeleteOptions};
use units::{Millis, Timestamp};

use super::cron::Schedule;
use super::job::finished_at;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone, is_already_exists};
use crate::objects::{Meta, change_key, change_owner, controlled_by, reference};
use crate::queue::Key;
use crate::runtime::Reconciler;

const COMPONENT: &str = "cronjob-controller";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(crate) struct CronJobController {
    context: Context,
}

impl CronJobController {
    pub(crate) fn new(context: &Context) -> CronJobController {
        CronJobController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for CronJobController {
    fn name(&self) -> &'static str {
        "cronjob"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match &*change.resource {
            "cronjobs.batch" => dirty.push(change_key(change)),
            "jobs.batch" => dirty.extend(change_owner(change, "CronJob")),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<CronJob>(None).iter().map(|cron| cron.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(cron) = client.get::<CronJob>(key.namespace(), &key.name) else { return Ok(None) };
        let (spec, false) = (&cron.spec, cron.is_deleted()) else { return Ok(None) };
        self.clean_up(&cron, spec).await?;
        let mut status = cron.status.clone().unwrap_or_default();
        self.note_jobs(&cron, &mut status);
        let outcome = self.run(&cron, spec, &mut status).await;
        if cron.status.as_ref() != Some(&status) {
            let updated = CronJob { status: Some(status), ..(*cron).clone() };
            ignore_gone(client.update_status(&updated).await)
                .context(|| format!("write the status of cron job {key}"))?;
        }
        outcome
    }
}

impl CronJobController {
    fn jobs(&self, cron: &CronJob) -> Vec<Arc<Job>> {
        let mut jobs = self.context.client.list::<Job>(Some(cron.namespace()));
        jobs.retain(|job| job.is_controlled_by(cron.uid()));
        jobs
    }

    fn active(&self, cron: &CronJob) -> Vec<Arc<Job>> {
        let mut jobs = self.jobs(cron);
        jobs.retain(|job| finished_at(job).is_none() && !job.is_deleted());
        jobs
    }

    fn note_jobs(&self, cron: &CronJob, status: &mut CronJobStatus) {
        let active: Vec<_> = self.active(cron).iter().map(|job| reference(&**job)).collect();
        status.active = (!active.is_empty()).then_some(active);
        let completed = self.jobs(cron).iter().filter_map(|job| job.status.as_ref()?.completion_time.clone()).max();
        status.last_successful_time = status.last_successful_time.take().max(completed);
    }

    /// Starts what is due and returns when the next job is.
    async fn run(
        &self,
        cron: &CronJob,
        spec: &CronJobSpec,
        status: &mut CronJobStatus,
    ) -> Result<Option<Millis>, Error> {
        if spec.suspend == Some(true) {
            return Ok(None);
        }
        if let Some(zone) = spec.time_zone.as_deref().filter(|zone| !matches!(*zone, "UTC" | "Etc/UTC")) {
            let message = format!("invalid timeZone: \"{zone}\" is not served here, only UTC");
            self.context.events.warning(cron, COMPONENT, "UnknownTimeZone", message);
            return Ok(None);
        }
        let schedule = match Schedule::parse(&spec.schedule) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule \"{}\": {error}", spec.schedule);
                self.context.events.warning(cron, COMPONENT, "UnparseableSchedule", message);
                return Ok(None);
            }
        };
        let now = clock::now();
        if let Some(due) = due(cron, spec, status, &schedule, now) {
            self.start(cron, spec, status, due, now).await?;
        }
        Ok(schedule.next_after(now).map(|next| next - now))
    }

    async fn start(
        &self,
        cron: &CronJob,
        spec: &CronJobSpec,
        status: &mut CronJobStatus,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        if spec.starting_deadline_seconds.is_some_and(|seconds| due + Millis::from_secs(seconds) < now) {
            let message = format!("Missed scheduled time to start a job: {}", due.rfc3339());
            self.context.events.warning(cron, COMPONENT, "MissSchedule", message);
            status.last_schedule_time = Some(clock::kube_time(due));
            return Ok(());
        }
        let active = self.active(cron);
        if spec.concurrency_policy.as_deref() == Some("Forbid") && !active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.context.events.normal(cron, COMPONENT, "JobAlreadyActive", message);
            return Ok(());
        }
        if spec.concurrency_policy.as_deref() == Some("Replace") {
            for job in active {
                self.delete(cron, &job).await?;
            }
        }
        let job = build(cron, spec, due);
        match self.context.client.create(Some(cron.namespace()), &job).await {
            Ok(created) => {
                self.context.events.normal(
                    cron,
                    COMPONENT,
                    "SuccessfulCreate",
                    format!("Created job {}", created.name()),
                );
                status.active.get_or_insert_default().push(reference(&created));
            }
            // Started before, though the status was not written: the name says for which time.
            Err(error) if is_already_exists(&error) => {}
            Err(error) => {
                self.context.events.warning(cron, COMPONENT, "FailedCreate", format!("Error creating job: {error}"));
                return Err(error).context(|| format!("create a job of cron job {}", cron.key()));
            }
        }
        status.last_schedule_time = Some(clock::kube_time(due));
        Ok(())
    }

    async fn delete(&self, cron: &CronJob, job: &Job) -> Result<(), Error> {
        let options = DeleteOptions {
            uid: Some(job.uid().to_owned()),
            propagation: Some("Background".to_owned()),
            ..DeleteOptions::default()
        };
        let outcome = self.context.client.delete::<Job>(Some(job.namespace()), job.name(), &options).await;
        ignore_gone(outcome).context(|| format!("delete job {}", job.key()))?;
        self.context.events.normal(cron, COMPONENT, "SuccessfulDelete", format!("Deleted job {}", job.name()));
        Ok(())
    }

    /// Keeps as many finished jobs as the history limits say.
    async fn clean_up(&self, cron: &CronJob, spec: &CronJobSpec) -> Result<(), Error> {
        let finished: Vec<Arc<Job>> =
            self.jobs(cron).into_iter().filter(|job| finished_at(job).is_some() && !job.is_deleted()).collect();
        let succeeded = |job: &Arc<Job>| job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
        let (good, bad): (Vec<_>, Vec<_>) = finished.into_iter().partition(succeeded);
        let limits = [
            (good, spec.successful_jobs_history_limit.unwrap_or(3)),
            (bad, spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (mut jobs, limit) in limits {
            jobs.sort_by_key(|job| job.status.as_ref().and_then(|status| status.start_time.clone()));
            let surplus = jobs.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in &jobs[..surplus] {
                self.delete(cron, job).await?;
            }
        }
        Ok(())
    }
}

/// More missed times than this are not walked through, as upstream gives up after a hundred.
const MOST_MISSED: usize = 100_000;

/// The latest time that is due and not started.
fn due(
    cron: &CronJob,
    spec: &CronJobSpec,
    status: &CronJobStatus,
    schedule: &Schedule,
    now: Timestamp,
) -> Option<Timestamp> {
    let created = cron.metadata.creation_timestamp.as_ref().map(clock::from_kube).unwrap_or_default();
    let mut since = status.last_schedule_time.as_ref().map(clock::from_kube).unwrap_or(created);
    if let Some(seconds) = spec.starting_deadline_seconds {
        since = since.max(now - Millis::from_secs(seconds));
    }
    let mut latest = None;
    for _ in 0..MOST_MISSED {
        match schedule.next_after(latest.unwrap_or(since)) {
            Some(next) if next <= now => latest = Some(next),
            _ => break,
        }
    }
    latest
}

fn build(cron: &CronJob, spec: &CronJobSpec, due: Timestamp) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED_AT.to_owned(), due.rfc3339());
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron.name(), due.secs() / 60)),
            namespace: Some(cron.namespace().to_owned()),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controlled_by(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
