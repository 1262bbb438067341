//! Watches, reconciles and reports.

use super::flags::Flags;
use super::monitors::{Cluster, Job, jobs};
use super::objects::{Prometheus, RuleFile, discovery_service, governing_service};
use super::selectors::{Labels, matches};
use super::web::{self, Shared};
use crate::watched::Watched;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

const FIELD_MANAGER: &str = "prometheus-operator";
/// Writes that belong together are reconciled together.
const SETTLE: Duration = Duration::from_millis(200);
/// What somebody else changed or deleted is put right after this time at the latest.
const RESYNC: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When there is no Kubernetes configuration or the address is taken.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    let client =
        Client::try_default().await.context("no cluster: set KUBECONFIG, or run in a pod with a service account")?;
    let listener =
        TcpListener::bind(flags.listen).await.with_context(|| format!("cannot listen on {}", flags.listen))?;
    let known = Shared::default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        () = web::serve(listener, known.clone(), client.clone()) => {}
        () = Operator::new(client.clone(), flags, known).reconcile_forever() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

fn monitoring(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind), plural)
}

struct Operator {
    client: Client,
    flags: Flags,
    known: Shared,
    changed: Arc<Notify>,
    /// Where the operator's own Service is.
    namespace: String,
    prometheuses: Vec<Watched<DynamicObject>>,
    monitors: Watched<DynamicObject>,
    pod_monitors: Watched<DynamicObject>,
    rules: Watched<DynamicObject>,
    namespaces: Watched<Namespace>,
    /// Only where kubelets are scraped.
    nodes: Option<Watched<Node>>,
    services: Watched<Service>,
    slices: Watched<EndpointSlice>,
}

impl Operator {
    fn new(client: Client, flags: Flags, known: Shared) -> Operator {
        let changed = Arc::new(Notify::new());
        let everywhere = |kind: ApiResource| Watched::start(Api::all_with(client.clone(), &kind), kind, &changed);
        let prometheus = monitoring("Prometheus", "prometheuses");
        let prometheuses = match &flags.namespaces[..] {
            [] => vec![everywhere(prometheus)],
            namespaces => namespaces
                .iter()
                .map(|namespace| {
                    Watched::start(
                        Api::namespaced_with(client.clone(), namespace, &prometheus),
                        prometheus.clone(),
                        &changed,
                    )
                })
                .collect(),
        };
        Operator {
            prometheuses,
            monitors: everywhere(monitoring("ServiceMonitor", "servicemonitors")),
            pod_monitors: everywhere(monitoring("PodMonitor", "podmonitors")),
            rules: everywhere(monitoring("PrometheusRule", "prometheusrules")),
            namespaces: Watched::start(Api::all(client.clone()), (), &changed),
            nodes: flags.kubelet_service.as_ref().map(|_| Watched::start(Api::all(client.clone()), (), &changed)),
            services: Watched::start(Api::all(client.clone()), (), &changed),
            slices: Watched::start(Api::all(client.clone()), (), &changed),
            namespace: std::env::var("POD_NAMESPACE").unwrap_or_else(|_| "monitoring".to_owned()),
            client,
            flags,
            known,
            changed,
        }
    }

    fn is_complete(&self) -> bool {
        let dynamic = self.prometheuses.iter().all(Watched::is_complete)
            && self.monitors.is_complete()
            && self.pod_monitors.is_complete()
            && self.rules.is_complete();
        let nodes = self.nodes.as_ref().is_none_or(Watched::is_complete);
        dynamic && nodes && self.namespaces.is_complete() && self.services.is_complete() && self.slices.is_complete()
    }

    async fn reconcile_forever(self) {
        let mut pause = RESYNC;
        // Pods come and go all the time; only what changes an object is written.
        let mut written = Vec::new();
        loop {
            let resync = tokio::time::timeout(pause, self.changed.notified()).await.is_err();
            tokio::time::sleep(SETTLE).await;
            if !self.is_complete() {
                continue;
            }
            if resync {
                written.clear();
            }
            pause = RESYNC;
            if let Err(error) = self.reconcile(&mut written).await {
                tracing::warn!(error = format!("{error:#}"), "cannot reconcile now");
                written.clear();
                pause = RETRY;
            }
        }
    }

    async fn reconcile(&self, written: &mut Vec<Value>) -> anyhow::Result<()> {
        let mut cluster = Cluster {
            nodes: self.nodes.as_ref().map(Watched::all).unwrap_or_default(),
            kubelet_service: self.flags.kubelet_service.clone(),
            relay: String::new(),
            namespaces: self.namespaces.all(),
            services: self.services.all(),
            slices: self.slices.all(),
        };
        let mut all_jobs = Vec::new();
        let objects: Vec<Arc<DynamicObject>> = self
            .prometheuses
            .iter()
            .flat_map(Watched::all)
            .filter(|object| object.metadata.deletion_timestamp.is_none())
            .collect();
        if objects.is_empty() {
            *self.known.write() = super::web::Known { jobs: all_jobs, cluster };
            return Ok(());
        }
        let discovery = self.discovery_address(written).await?;
        cluster.relay = discovery.trim_start_matches("http://").to_owned();
        for object in objects {
            let spec = object.data.get("spec").cloned().unwrap_or_default();
            let (namespace, name) = (
                object.metadata.namespace.clone().unwrap_or_default(),
                object.metadata.name.clone().unwrap_or_default(),
            );
            let prometheus = Prometheus {
                namespace: &namespace,
                name: &name,
                uid: object.metadata.uid.as_deref().unwrap_or_default(),
                spec: &spec,
            };
            let (selected, mut problems) = self.jobs_of(&prometheus, &cluster);
            let refused = prometheus.refused();
            if refused.is_empty() {
                let rules = self.rules_of(&prometheus, &cluster, &mut problems);
                let config = prometheus.config_map(&selected, &rules, &discovery);
                let set = prometheus.stateful_set(&config);
                for wanted in [governing_service(&namespace), config, set] {
                    self.apply(wanted, written).await?;
                }
            } else {
                problems.insert(0, format!("not supported here: {}", refused.join(", ")));
            }
            self.report(&object, &namespace, &name, refused.is_empty(), &problems).await?;
            all_jobs.extend(selected);
        }
        *self.known.write() = super::web::Known { jobs: all_jobs, cluster };
        Ok(())
    }

    /// The address of the operator's Service: it stays when this pod is replaced, and with it Prometheus' configuration.
    async fn discovery_address(&self, written: &mut Vec<Value>) -> anyhow::Result<String> {
        let port = self.flags.listen.port();
        self.apply(discovery_service(&self.namespace, port), written).await?;
        let service =
            Api::<Service>::namespaced(self.client.clone(), &self.namespace).get("prometheus-operator").await?;
        let address =
            service.spec.and_then(|spec| spec.cluster_ip).filter(|address| !address.is_empty() && address != "None");
        Ok(format!("http://{}:{port}", address.context("Service prometheus-operator has no cluster IP yet")?))
    }

    /// The selected objects of a kind, in a stable order.
    fn selected(
        &self,
        watched: &Watched<DynamicObject>,
        prometheus: &Prometheus<'_>,
        selector: &str,
        namespace_selector: &str,
        cluster: &Cluster,
        problems: &mut Vec<String>,
    ) -> Vec<Arc<DynamicObject>> {
        let mut selected: Vec<_> = watched
            .all()
            .into_iter()
            .filter(|object| {
                let labels = object.metadata.labels.clone().unwrap_or_default();
                let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
                // Without a selector for namespaces, only the object's own is looked at.
                let in_namespace = match prometheus.spec.get(namespace_selector) {
                    None => Ok(namespace == prometheus.namespace),
                    selector => matches(selector, &namespace_labels(cluster, namespace)),
                };
                match in_namespace
                    .and_then(|in_namespace| Ok(in_namespace && matches(prometheus.spec.get(selector), &labels)?))
                {
                    Ok(selected) => selected,
                    Err(problem) => {
                        problems.push(format!("spec.{selector}: {problem}"));
                        false
                    }
                }
            })
            .collect();
        selected
            .sort_by(|a, b| (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name)));
        selected
    }

    fn jobs_of(&self, prometheus: &Prometheus<'_>, cluster: &Cluster) -> (Vec<Job>, Vec<String>) {
        let mut problems = Vec::new();
        let mut all = Vec::new();
        for monitor in self.selected(
            &self.monitors,
            prometheus,
            "serviceMonitorSelector",
            "serviceMonitorNamespaceSelector",
            cluster,
            &mut problems,
        ) {
            let spec = monitor.data.get("spec").cloned().unwrap_or_default();
            match jobs(
                monitor.metadata.namespace.as_deref().unwrap_or_default(),
                monitor.metadata.name.as_deref().unwrap_or_default(),
                &spec,
            ) {
                Ok(jobs) => all.extend(jobs),
                Err(problem) => problems.push(problem),
            }
        }
        for monitor in self.selected(
            &self.pod_monitors,
            prometheus,
            "podMonitorSelector",
            "podMonitorNamespaceSelector",
            cluster,
            &mut problems,
        ) {
            problems.push(format!(
                "PodMonitor {}/{}: not supported here",
                monitor.metadata.namespace.as_deref().unwrap_or_default(),
                monitor.metadata.name.as_deref().unwrap_or_default()
            ));
        }
        (all, problems)
    }

    fn rules_of(&self, prometheus: &Prometheus<'_>, cluster: &Cluster, problems: &mut Vec<String>) -> Vec<RuleFile> {
        let selected =
            self.selected(&self.rules, prometheus, "ruleSelector", "ruleNamespaceSelector", cluster, problems);
        let file = |rule: &Arc<DynamicObject>| {
            let name = format!(
                "{}-{}",
                rule.metadata.namespace.as_deref().unwrap_or_default(),
                rule.metadata.name.as_deref().unwrap_or_default()
            );
            (name, json!({"groups": rule.data.pointer("/spec/groups").cloned().unwrap_or_else(|| json!([]))}))
        };
        selected.iter().map(file).collect()
    }

    async fn apply(&self, wanted: Value, written: &mut Vec<Value>) -> anyhow::Result<()> {
        if written.contains(&wanted) {
            return Ok(());
        }
        let object: DynamicObject = serde_json::from_value(wanted.clone())?;
        let types = object.types.clone().context("an object of this operator has a kind")?;
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let (namespace, name) =
            (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
            .await
            .with_context(|| format!("{} {namespace}/{name}", types.kind))?;
        written.retain(|before: &Value| before["kind"] != wanted["kind"] || before["metadata"] != wanted["metadata"]);
        written.push(wanted);
        Ok(())
    }

    /// The `Reconciled` condition: what this operator could not follow is said there.
    async fn report(
        &self,
        object: &DynamicObject,
        namespace: &str,
        name: &str,
        is_running: bool,
        problems: &[String],
    ) -> anyhow::Result<()> {
        let status = if is_running && problems.is_empty() { "True" } else { "False" };
        let message = problems.join("; ");
        let before = object
            .data
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == "Reconciled"));
        if before.is_some_and(|before| before["status"] == status && before["message"] == message.as_str()) {
            return Ok(());
        }
        problems.iter().for_each(|problem| tracing::error!(prometheus = format!("{namespace}/{name}"), problem));
        let condition = json!({
            "type": "Reconciled", "status": status, "reason": if status == "True" { "" } else { "ReconciliationFailed" }, "message": message,
            "lastTransitionTime": k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "observedGeneration": object.metadata.generation,
        });
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &monitoring("Prometheus", "prometheuses"));
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("status of Prometheus {namespace}/{name}"))?;
        Ok(())
    }
}

fn namespace_labels(cluster: &Cluster, name: &str) -> Labels {
    cluster
        .namespaces
        .iter()
        .find(|namespace| namespace.metadata.name.as_deref() == Some(name))
        .and_then(|namespace| namespace.metadata.labels.clone())
        .unwrap_or_default()
}
