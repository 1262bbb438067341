//! Jobs and cron jobs.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, quantities, workload};
use crate::api::Transaction;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;

pub struct Job;
pub static JOB: Job = Job;

const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

fn default_job_spec(spec: &mut Value) {
    pod_spec::default(json::object(json::object(spec, "template"), "spec"));
    json::default(spec, "backoffLimit", 6);
    json::default(spec, "completionMode", "NonIndexed");
    json::default(spec, "suspend", false);
    json::default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    json::default(spec, "manualSelector", false);
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        spec["completions"] = json!(1);
    }
    json::default(spec, "parallelism", 1);
}

fn validate_job_spec(spec: &Value, path: &str, errors: &mut FieldErrors) {
    for field in ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
        let mut inner = FieldErrors::default();
        quantities::non_negative(spec, &format!("/{field}"), &mut inner);
        errors.nest(path, inner);
    }
    let at = format!("{path}.template.spec");
    pod_spec::validate(&spec["template"]["spec"], &at, errors);
    if spec["template"]["spec"]["restartPolicy"] == "Always" {
        errors.required(format!("{at}.restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
    }
}

impl Strategy for Job {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default_job_spec(json::object(object, "spec"));
    }

    /// Pods are told apart by the job's uid, so that a job of the same name never adopts another's.
    fn prepare_create(&self, _tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        if json::flag(object, "/spec/manualSelector") {
            return Ok(());
        }
        let (uid, name) = (json::uid(object).to_owned(), json::name(object).to_owned());
        let spec = json::object(object, "spec");
        let labels = json::object(json::object(json::object(spec, "template"), "metadata"), "labels");
        UID_LABELS.iter().for_each(|label| labels[*label] = json!(uid));
        NAME_LABELS.iter().for_each(|label| labels[*label] = json!(name));
        spec["selector"] = json!({"matchLabels": {UID_LABELS[0]: uid}});
        Ok(())
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        validate_job_spec(&object["spec"], "spec", errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/spec/selector", errors);
        workload::immutable(object, old, "/spec/template", errors);
        workload::immutable(object, old, "/spec/completionMode", errors);
    }
}

pub struct CronJob;
pub static CRON_JOB: CronJob = CronJob;

impl Strategy for CronJob {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(spec, "concurrencyPolicy", "Allow");
        json::default(spec, "suspend", false);
        json::default(spec, "successfulJobsHistoryLimit", 3);
        json::default(spec, "failedJobsHistoryLimit", 1);
        let template = json::object(spec, "jobTemplate");
        json::object(template, "metadata");
        let job = json::object(template, "spec");
        pod_spec::default(json::object(json::object(job, "template"), "spec"));
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        validate_job_spec(&object["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec", errors);
        pod_spec::supported(&object["spec"], "concurrencyPolicy", "spec", &["Allow", "Forbid", "Replace"], errors);
        let schedule = json::text(object, "/spec/schedule").unwrap_or_default();
        if schedule.is_empty() {
            errors.required("spec.schedule", "");
        } else if !schedule.starts_with('@') && schedule.split_whitespace().count() != 5 {
            let detail =
                format!("expected exactly 5 fields, found {}: [{schedule}]", schedule.split_whitespace().count());
            errors.invalid("spec.schedule", &json!(schedule), &detail);
        }
    }
}
