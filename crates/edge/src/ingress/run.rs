//! Puts the parts together: watches, routing table, entry points, signals.

use super::entrypoint::{Own, Server, not_draining};
use super::flags::Flags;
use super::metrics::Metrics;
use super::proxy::Proxy;
use super::service::Routing;
use super::status;
use super::table::{Objects, Table};
use super::timers::Timers;
use crate::watched::Watched;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

/// Writes that belong together, such as those of one rollout step, take effect together; short, because a pod that leaves
/// must get no request more.
const SETTLE: Duration = Duration::from_millis(5);
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// Runs until SIGTERM or SIGINT and the graces after it. Requests are carried by the runtime that this is polled by, which
/// needs no timers; the cluster is followed on `control`, which needs them.
///
/// # Errors
/// When there is no Kubernetes configuration or an entry point's address is taken.
pub async fn run(flags: Flags, control: Handle) -> anyhow::Result<()> {
    let client = control.spawn(Client::try_default()).await?;
    let client = client.context("no cluster: set KUBECONFIG, or run in a pod with a service account")?;
    let routing = Arc::new(Routing::new(Timers::of(control.clone())));
    let metrics = Arc::new(Metrics::default());
    let (routed, is_routed) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    for (name, settings) in &flags.entry_points {
        let proxy = Proxy {
            routing: routing.clone(),
            metrics: metrics.clone(),
            entry_point: name.as_str().into(),
            local_port: settings.address.port(),
            draining: not_draining(),
        };
        let own = Own {
            metrics: (flags.metrics.as_ref() == Some(name)).then(|| metrics.clone()),
            ping: (flags.ping.as_ref() == Some(name)).then(|| is_routed.clone()),
        };
        servers.spawn(Server { proxy, own, settings: settings.clone() }.run(stopping.clone()));
    }
    let following = control.spawn(follow(client, flags, routing, metrics, routed));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // A server that ends before it is told to has failed.
        Some(ended) = servers.join_next() => ended??,
    }
    tracing::info!("draining");
    stop.send_replace(true);
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    following.abort();
    tracing::info!("stopped");
    Ok(())
}

struct Sources {
    ingresses: Vec<Watched<Ingress>>,
    classes: Watched<IngressClass>,
    services: Vec<Watched<Service>>,
    slices: Vec<Watched<EndpointSlice>>,
}

impl Sources {
    fn start(client: &Client, namespaces: &[String], changed: &Arc<Notify>) -> Sources {
        fn apis<K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(
            client: &Client,
            namespaces: &[String],
        ) -> Vec<Api<K>> {
            match namespaces {
                [] => vec![Api::all(client.clone())],
                namespaces => namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
            }
        }
        Sources {
            ingresses: apis(client, namespaces).into_iter().map(|api| Watched::start(api, (), changed)).collect(),
            classes: Watched::start(Api::all(client.clone()), (), changed),
            services: apis(client, namespaces).into_iter().map(|api| Watched::start(api, (), changed)).collect(),
            slices: apis(client, namespaces).into_iter().map(|api| Watched::start(api, (), changed)).collect(),
        }
    }

    /// Half a first list would send requests nowhere.
    fn are_complete(&self) -> bool {
        let listed = self.ingresses.iter().all(Watched::is_complete) && self.services.iter().all(Watched::is_complete);
        listed && self.classes.is_complete() && self.slices.iter().all(Watched::is_complete)
    }

    fn objects(&self) -> Objects {
        Objects {
            ingresses: self.ingresses.iter().flat_map(Watched::all).collect(),
            classes: self.classes.all(),
            services: self.services.iter().flat_map(Watched::all).collect(),
            slices: self.slices.iter().flat_map(Watched::all).collect(),
        }
    }
}

async fn follow(
    client: Client,
    flags: Flags,
    routing: Arc<Routing>,
    metrics: Arc<Metrics>,
    routed: watch::Sender<bool>,
) {
    let changed = Arc::new(Notify::new());
    let sources = Sources::start(&client, &flags.kubernetes.namespaces, &changed);
    let mut in_force: Option<Table> = None;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = changed.notified() => tokio::time::sleep(SETTLE).await,
            _ = housekeeping.tick() => routing.close_stale_connections(),
        }
        if !sources.are_complete() {
            continue;
        }
        let objects = sources.objects();
        let table = Table::build(&objects, &flags.kubernetes);
        if in_force.as_ref() != Some(&table) {
            let known = in_force.as_ref().map_or(&[][..], |table| &table.problems);
            table
                .problems
                .iter()
                .filter(|problem| !known.contains(problem))
                .for_each(|problem| tracing::error!(problem));
            routing.apply(&table);
            metrics.reload();
            tracing::info!(
                routes = table.routes.len(),
                endpoints = table.services.values().map(Vec::len).sum::<usize>(),
                "routing table in force"
            );
            in_force = Some(table);
            routed.send_replace(true);
        }
        if let Some(service) = &flags.kubernetes.published_service {
            status::publish(&client, &objects.ingresses, &objects.services, service).await;
        }
    }
}
