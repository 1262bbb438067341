//! Watches the cluster and publishes a view of it. No request to this process causes one to the Kubernetes API.
mod decisions;
mod stacks;
mod usage;
mod watched;

use crate::live::Live;
use crate::simulations::Worker;
use crate::view::{self, Objects};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1;
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use watched::{Signals, Watched};

/// Changes within this time are published together: a rollout is dozens of writes, a person sees five frames a second.
const SETTLE: Duration = Duration::from_millis(150);
const CONFIGURATION_RETRY: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn watch(cluster_name: String, live: Arc<Live>, simulations: Worker) {
    let client = loop {
        match Client::try_default().await {
            Ok(client) => break client,
            Err(error) => {
                tracing::error!(error = %error, "no cluster: set KUBECONFIG, or run in a pod with a service account");
                let gaps = vec![backend_api::cluster::Gap {
                    part: "cluster".to_owned(),
                    reason: "no usable Kubernetes configuration".to_owned(),
                }];
                live.publish(view::snapshot(&Objects {
                    cluster_name: cluster_name.clone(),
                    gaps,
                    ..Objects::default()
                }));
                tokio::time::sleep(CONFIGURATION_RETRY).await;
            }
        }
    };
    let signals = Arc::new(Signals::default());
    let version = tokio::spawn(version(client.clone()));
    let sources = Sources::start(client, signals.clone(), simulations);
    sources.publish_forever(cluster_name, version, signals, live).await;
}

/// The API server's version, asked until it answers.
async fn version(client: Client) -> String {
    loop {
        match client.apiserver_version().await {
            Ok(info) => return info.git_version,
            Err(error) => tracing::debug!(%error, "the API server does not tell its version"),
        }
        tokio::time::sleep(CONFIGURATION_RETRY).await;
    }
}

struct Sources {
    nodes: Watched<v1::Node>,
    pods: Watched<v1::Pod>,
    hpas: Watched<HorizontalPodAutoscaler>,
    events: Watched<v1::Event>,
    stacks: stacks::Stacks,
    usage: usage::Usage,
    decisions: decisions::Decisions,
}

impl Sources {
    fn start(client: Client, signals: Arc<Signals>, simulations: Worker) -> Sources {
        Sources {
            nodes: Watched::start("nodes", Api::all(client.clone()), &signals),
            pods: Watched::start("pods", Api::all(client.clone()), &signals),
            hpas: Watched::start("hpas", Api::all(client.clone()), &signals),
            events: Watched::start("events", Api::all(client.clone()), &signals),
            stacks: stacks::Stacks::start(client.clone(), &signals, simulations),
            usage: usage::Usage::start(client.clone(), &signals),
            decisions: decisions::Decisions::start(client, &signals),
        }
    }

    async fn publish_forever(
        &self,
        cluster_name: String,
        version: tokio::task::JoinHandle<String>,
        signals: Arc<Signals>,
        live: Arc<Live>,
    ) {
        let mut version = Some(version);
        let mut known = None;
        loop {
            signals.changed.notified().await;
            tokio::time::sleep(SETTLE).await;
            if let Some(task) = version.take_if(|task| task.is_finished()) {
                known = task.await.ok();
            }
            // Half a first list would look as if most of the cluster had just vanished.
            if self.nodes.is_settled() && self.pods.is_settled() {
                live.publish(view::snapshot(&self.objects(cluster_name.clone(), known.clone(), &signals)));
            }
        }
    }

    fn objects(&self, cluster_name: String, version: Option<String>, signals: &Signals) -> Objects {
        let (pod_usage, node_usage) = self.usage.current();
        Objects {
            cluster_name,
            version,
            nodes: self.nodes.all(),
            pods: self.pods.all(),
            hpas: self.hpas.all(),
            events: self.events.all(),
            stacks: self.stacks.current().records,
            preview: self.stacks.current().preview,
            pod_usage,
            node_usage,
            reasons: self.decisions.current(),
            gaps: signals.gaps(),
        }
    }
}
