//! Watches and serves.

use super::flags::Flags;
use super::render::{State, render};
use crate::watched::Watched;
use anyhow::Context as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Absent where `--resources` leaves a kind out.
struct Watching {
    pods: Option<Watched<Pod>>,
    nodes: Option<Watched<Node>>,
    deployments: Option<Watched<Deployment>>,
    hpas: Option<Watched<HorizontalPodAutoscaler>>,
}

impl Watching {
    fn start(client: &Client, resources: &[String]) -> Watching {
        // A scrape reads what is known at its moment: nobody waits for changes.
        let changed = Arc::new(Notify::new());
        let wanted = |name: &str| resources.iter().any(|resource| resource == name);
        let client = || client.clone();
        Watching {
            pods: wanted("pods").then(|| Watched::start(Api::all(client()), (), &changed)),
            nodes: wanted("nodes").then(|| Watched::start(Api::all(client()), (), &changed)),
            deployments: wanted("deployments").then(|| Watched::start(Api::all(client()), (), &changed)),
            hpas: wanted("horizontalpodautoscalers").then(|| Watched::start(Api::all(client()), (), &changed)),
        }
    }

    fn is_complete(&self) -> bool {
        self.pods.as_ref().is_none_or(Watched::is_complete)
            && self.nodes.as_ref().is_none_or(Watched::is_complete)
            && self.deployments.as_ref().is_none_or(Watched::is_complete)
            && self.hpas.as_ref().is_none_or(Watched::is_complete)
    }

    fn state(&self) -> State {
        State {
            pods: self.pods.as_ref().map(Watched::all).unwrap_or_default(),
            nodes: self.nodes.as_ref().map(Watched::all).unwrap_or_default(),
            deployments: self.deployments.as_ref().map(Watched::all).unwrap_or_default(),
            hpas: self.hpas.as_ref().map(Watched::all).unwrap_or_default(),
        }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/livez" | "/healthz" => text(StatusCode::OK, "OK".to_owned()),
            // A half-filled list would tell Prometheus that pods are gone.
            "/readyz" | "/metrics" if !self.is_complete() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the first lists are not complete\n".to_owned())
            }
            "/readyz" => text(StatusCode::OK, "OK".to_owned()),
            "/metrics" => text(StatusCode::OK, render(&self.state())),
            path => text(StatusCode::NOT_FOUND, format!("{path} is not served\n")),
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When there is no Kubernetes configuration or the address is taken.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    let client =
        Client::try_default().await.context("no cluster: set KUBECONFIG, or run in a pod with a service account")?;
    let listener =
        TcpListener::bind(flags.listen).await.with_context(|| format!("cannot listen on {}", flags.listen))?;
    let watching = Arc::new(Watching::start(&client, &flags.resources));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        () = serve(listener, watching) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

async fn serve(listener: TcpListener, watching: Arc<Watching>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        };
        let watching = watching.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = watching.answer(request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
