//! The HPA loop: every sync it shows `decide::hpa` the world, does what comes back and notes both in the flight recorder.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use decide::hpa::view::{ContainerUsage, Metrics, Pod as PodView, PodMetrics, Scale};
use decide::hpa::{Decision, Memory, Snapshot};
use decide::wire;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use k8s_openapi::api::core::v1::Pod;
use kube_server::node_agent::PodUsage;
use kube_server::{ChangeEvent, ScaleView};
use kube_store::selector::LabelSelector;
use parking_lot::Mutex;
use units::{Millis, Timestamp};

use crate::clock;
use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::journal::Entry;
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

const COMPONENT: &str = "horizontal-pod-autoscaler";

pub(crate) struct HpaController {
    context: Context,
    /// What upstream's controller keeps between syncs, by autoscaler.
    memories: Mutex<BTreeMap<Key, Memory>>,
}

impl HpaController {
    pub(crate) fn new(context: &Context) -> HpaController {
        HpaController { context: context.clone(), memories: Mutex::default() }
    }
}

#[async_trait]
impl Reconciler for HpaController {
    fn name(&self) -> &'static str {
        "hpa"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        if &*change.resource == "horizontalpodautoscalers.autoscaling" {
            dirty.push(change_key(change));
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<HorizontalPodAutoscaler>(None).iter().map(|hpa| hpa.key()).collect()
    }

    /// Upstream puts every add and update into its queue with the sync period as delay.
    fn delay(&self) -> Millis {
        self.context.config.hpa_sync
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let Some(hpa) = self.context.client.get::<HorizontalPodAutoscaler>(key.namespace(), &key.name) else {
            self.memories.lock().remove(key);
            return Ok(None);
        };
        self.sync(key, &hpa).await?;
        Ok(Some(self.context.config.hpa_sync))
    }
}

impl HpaController {
    async fn sync(&self, key: &Key, hpa: &HorizontalPodAutoscaler) -> Result<(), Error> {
        let snapshot = self.snapshot(hpa).await?;
        let before = self.memories.lock().get(key).cloned().unwrap_or_default();
        let mut memory = before.clone();
        let mut decision = decide::hpa::decide(&self.context.config.hpa, &snapshot, &mut memory);
        self.context.recorder.record(Entry {
            kind: "hpa",
            namespace: Some(&key.namespace),
            object: &key.name,
            now: snapshot.now,
            settings: &self.context.config.hpa,
            snapshot: &snapshot,
            memory_before: &before,
            decision: &decision,
            summary: &decision.report.summary,
            acted: decision.rescale.is_some(),
            items: Vec::new(),
        });
        self.rescale(hpa, &snapshot, &mut decision, &mut memory, &before).await;
        self.memories.lock().insert(key.clone(), memory);
        for event in &decision.events {
            if event.warning {
                self.context.events.warning(hpa, COMPONENT, &event.reason, event.message.as_str());
            } else {
                self.context.events.normal(hpa, COMPONENT, &event.reason, event.message.as_str());
            }
        }
        if let Some(error) = &decision.error {
            tracing::debug!(hpa = %key, error, "autoscaler sync was incomplete");
        }
        self.write_status(hpa, &decision).await
    }

    async fn rescale(
        &self,
        hpa: &HorizontalPodAutoscaler,
        snapshot: &Snapshot,
        decision: &mut Decision,
        memory: &mut Memory,
        before: &Memory,
    ) {
        let Some(rescale) = decision.rescale.clone() else { return };
        let outcome = match self.target_resource(hpa) {
            Ok(resource) => {
                let name = &snapshot.spec.target.name;
                let written = self.context.client.set_scale(&resource, hpa.namespace(), name, rescale.to).await;
                written.map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                tracing::info!(hpa = %hpa.key(), from = rescale.from, to = rescale.to, reason = rescale.reason, "rescaled")
            }
            Err(error) => decide::hpa::rescale_failed(snapshot, decision, memory, before, &error),
        }
    }

    async fn write_status(&self, hpa: &HorizontalPodAutoscaler, decision: &Decision) -> Result<(), Error> {
        if !decision.status_changed {
            return Ok(());
        }
        let mut status = wire::hpa::status_wire(&decision.status);
        status.observed_generation = hpa.status.as_ref().and_then(|status| status.observed_generation);
        let updated = HorizontalPodAutoscaler { status: Some(status), ..hpa.clone() };
        let outcome = ignore_gone(self.context.client.update_status(&updated).await);
        outcome.context(|| format!("write the status of autoscaler {}", hpa.key()))?;
        Ok(())
    }

    async fn snapshot(&self, hpa: &HorizontalPodAutoscaler) -> Result<Snapshot, Error> {
        let invalid =
            |error| Error::Invalid(format!("autoscaler {} has a quantity that does not parse: {error}", hpa.key()));
        let now = clock::now();
        let scale = self.scale(hpa).await;
        let selector = scale.as_ref().ok().map(|scale| LabelSelector::parse(&scale.selector));
        let pods = match &selector {
            Some(Ok(selector)) => self.pods(hpa, selector),
            _ => Vec::new(),
        };
        let views =
            pods.iter().map(|pod| wire::hpa::pod_view(pod)).collect::<Result<Vec<PodView>, _>>().map_err(invalid)?;
        let selecting_autoscalers = self.selecting(hpa, &pods).await;
        Ok(Snapshot {
            now,
            namespace: hpa.namespace().to_owned(),
            name: hpa.name().to_owned(),
            spec: wire::hpa::spec_view(&hpa.spec).map_err(invalid)?,
            status: wire::hpa::status_view(&hpa.status.clone().unwrap_or_default()).map_err(invalid)?,
            scale: scale.map(|scale| Scale {
                spec_replicas: scale.replicas,
                status_replicas: scale.status_replicas,
                selector_error: selector.and_then(Result::err).map(|error| error.to_string()),
                selector: scale.selector,
            }),
            metrics: Metrics { resource: Some(self.usage(hpa, &pods)), ..Metrics::default() },
            pods: views,
            selecting_autoscalers,
        })
    }

    fn pods(&self, hpa: &HorizontalPodAutoscaler, selector: &LabelSelector) -> Vec<Arc<Pod>> {
        let mut pods = self.context.client.list::<Pod>(Some(hpa.namespace()));
        pods.retain(|pod| selector.matches_labels(pod.labels()));
        pods
    }

    fn target_resource(&self, hpa: &HorizontalPodAutoscaler) -> Result<String, String> {
        let target = target(hpa);
        let api_version = target.api_version.as_deref().unwrap_or("v1");
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resources = self.context.client.resources();
        let info = resources.iter().find(|info| info.kind == target.kind && info.group == group);
        info.map(|info| info.resource.to_string())
            .ok_or_else(|| format!("no matches for kind \"{}\" in group \"{group}\"", target.kind))
    }

    async fn scale(&self, hpa: &HorizontalPodAutoscaler) -> Result<ScaleView, String> {
        let resource = self.target_resource(hpa)?;
        let scale = self.context.client.scale(&resource, hpa.namespace(), &target(hpa).name).await;
        scale.map_err(|error| error.to_string())
    }

    /// Every autoscaler whose target selects one of `pods`: two of them would fight over the same pods.
    async fn selecting(&self, hpa: &HorizontalPodAutoscaler, pods: &[Arc<Pod>]) -> Vec<String> {
        let mut selecting = Vec::new();
        for other in self.context.client.list::<HorizontalPodAutoscaler>(Some(hpa.namespace())) {
            let Ok(scale) = self.scale(&other).await else { continue };
            let Ok(selector) = LabelSelector::parse(&scale.selector) else { continue };
            if !selector.is_empty() && pods.iter().any(|pod| selector.matches_labels(pod.labels())) {
                selecting.push(other.key().to_string());
            }
        }
        selecting
    }

    fn usage(&self, hpa: &HorizontalPodAutoscaler, pods: &[Arc<Pod>]) -> Result<Vec<PodMetrics>, String> {
        let Some(agent) = self.context.client.node_agent() else {
            return Err("unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)".to_owned());
        };
        let of_target =
            |usage: &PodUsage| usage.namespace == hpa.namespace() && pods.iter().any(|pod| pod.name() == usage.pod);
        Ok(agent.pod_usage().into_iter().filter(of_target).map(pod_metrics).collect())
    }
}

fn target(hpa: &HorizontalPodAutoscaler) -> &CrossVersionObjectReference {
    &hpa.spec.scale_target_ref
}

/// As `metrics.k8s.io` prints it: whole seconds, CPU in millicores, memory in bytes.
fn pod_metrics(usage: PodUsage) -> PodMetrics {
    let containers = usage.containers.into_iter().map(|container| ContainerUsage {
        name: container.container,
        usage_milli: BTreeMap::from([
            ("cpu".to_owned(), container.cpu.0),
            ("memory".to_owned(), container.memory.0.saturating_mul(1000)),
        ]),
    });
    PodMetrics {
        pod: usage.pod,
        at: Timestamp::truncated(usage.at),
        window: usage.window,
        containers: containers.collect(),
    }
}
