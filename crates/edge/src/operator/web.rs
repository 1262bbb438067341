//! Health, and the targets that Prometheus asks for.

use super::monitors::{Cluster, Job};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use parking_lot::RwLock;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What is known now.
#[derive(Default)]
pub struct Known {
    pub jobs: Vec<Job>,
    pub cluster: Cluster,
}

pub type Shared = Arc<RwLock<Known>>;

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, known: Shared, client: Client) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        };
        let (known, client) = (known.clone(), client.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (known, client) = (known.clone(), client.clone());
            async move {
                let path = request.uri().path();
                let response = match kubelet(path, &known) {
                    Some(proxied) => relay(&client, &proxied).await,
                    None => answer(path, &known),
                };
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The API server's path of a known node's metrics, for `/kubelet/<node>/metrics/…`. Nothing else of a node is relayed.
fn kubelet(path: &str, known: &Shared) -> Option<String> {
    let (node, metrics) = path.strip_prefix("/kubelet/")?.split_once('/')?;
    let is_node = known.read().cluster.nodes.iter().any(|known| known.metadata.name.as_deref() == Some(node));
    let is_served = ["metrics/cadvisor", "metrics/resource"].contains(&metrics);
    (is_node && is_served).then(|| format!("/api/v1/nodes/{node}/proxy/{metrics}"))
}

async fn relay(client: &Client, path: &str) -> Response<Full<Bytes>> {
    let request = match Request::get(path).body(Vec::new()) {
        Ok(request) => request,
        Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match client.request_text(request).await {
        Ok(metrics) => {
            let mut response = text(StatusCode::OK, metrics);
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{path}: {error}\n")),
    }
}

pub fn answer(path: &str, known: &Shared) -> Response<Full<Bytes>> {
    if path == "/healthz" {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    let known = known.read();
    let job = path.strip_prefix("/sd/").and_then(|name| known.jobs.iter().find(|job| job.name == name));
    match job.map(|job| job.targets(&known.cluster)) {
        None => text(StatusCode::NOT_FOUND, format!("{path} is not served\n")),
        Some(Err(problem)) => text(StatusCode::UNPROCESSABLE_ENTITY, problem),
        Some(Ok(targets)) => {
            let mut response = text(StatusCode::OK, serde_json::Value::Array(targets).to_string());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
