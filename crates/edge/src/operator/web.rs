//! Health, and the targets that Prometheus asks for.

use super::monitors::{Cluster, Job};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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
pub async fn serve(listener: TcpListener, known: Shared) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        };
        let known = known.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(request.uri().path(), &known);
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
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
