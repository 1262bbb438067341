//! Deletes finished jobs when their time has run out (`ttlSecondsAfterFinished`).

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job;
use kube_server::{ChangeEvent, DeleteOptions};
use units::Millis;

use super::job::finished_at;
use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

pub(crate) struct JobTtlController {
    context: Context,
}

impl JobTtlController {
    pub(crate) fn new(context: &Context) -> JobTtlController {
        JobTtlController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for JobTtlController {
    fn name(&self) -> &'static str {
        "ttl-after-finished"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        if &*change.resource == "jobs.batch" {
            dirty.push(change_key(change));
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Job>(None).iter().map(|job| job.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(job) = client.get::<Job>(key.namespace(), &key.name) else { return Ok(None) };
        let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let (Some(ttl), Some(finished), false) = (ttl, finished_at(&job), job.is_deleted()) else { return Ok(None) };
        let left = finished + Millis::from_secs(i64::from(ttl)) - clock::now();
        if left > Millis::ZERO {
            return Ok(Some(left));
        }
        let options = DeleteOptions {
            uid: Some(job.uid().to_owned()),
            propagation: Some("Foreground".to_owned()),
            ..DeleteOptions::default()
        };
        let outcome = client.delete::<Job>(key.namespace(), &key.name, &options).await;
        ignore_gone(outcome).context(|| format!("delete finished job {key}"))?;
        Ok(None)
    }
}
