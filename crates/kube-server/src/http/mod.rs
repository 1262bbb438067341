//! The API over HTTPS: connections, who is calling, and where a path leads.

mod access;
mod body;
mod discovery;
mod impersonation;
mod objects;
mod openapi;
mod path;
mod protobuf;
mod redaction;
mod respond;
mod reviews;
mod streams;
pub mod tls;
mod watching;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::api::{Api, Caller};
use crate::authn::{self, StaticTokens, certificates};
use crate::error::ApiError;
use respond::Reply;

#[derive(Clone)]
pub struct Shared {
    pub api: Arc<Api>,
    pub tokens: StaticTokens,
    /// Turns true when the server stops; streams that left their connection end with it.
    pub stopped: watch::Receiver<bool>,
}

/// Accepts until told to stop; then every open connection ends with its current response.
pub async fn serve(socket: TcpListener, tls: TlsAcceptor, shared: Shared) {
    let mut stopped = shared.stopped.clone();
    let shared = Arc::new(shared);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), shared.clone()));
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection to the API"),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = stopped.changed() => break,
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "TLS handshake failed"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| certificates::subject(chain.first()?));
    let peer = certificate.map(|(name, groups)| authn::from_certificate(&name, groups));
    let service = service_fn(move |request| {
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(&shared, peer, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the API ended early");
    }
}

async fn answer(shared: &Arc<Shared>, peer: Option<Caller>, request: Request<Incoming>) -> Response<Reply> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = match route(shared, peer, request).await {
        Ok(response) => response,
        Err(error) => respond::failure(&error),
    };
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    response
}

/// A certificate wins over a token, as upstream's order has it.
fn authenticate(shared: &Shared, peer: Option<Caller>, request: &Request<Incoming>) -> Result<Caller, ApiError> {
    if let Some(caller) = peer {
        return Ok(caller);
    }
    let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(ApiError::unauthorized)?;
    authn::from_token(&shared.api, &shared.tokens, token.trim())
}

/// Who makes the request, when they may.
fn admit(
    shared: &Shared,
    peer: Option<Caller>,
    wanted: Option<&path::ResourcePath>,
    request: &Request<Incoming>,
) -> Result<Caller, ApiError> {
    let caller = authenticate(shared, peer, request)?;
    let caller = impersonation::apply(&shared.api, caller, request.headers())?;
    match wanted {
        Some(wanted) => {
            let query = path::Query::parse(request.uri().query());
            let verb = access::verb(request.method(), wanted, query.flag("watch"));
            access::resource(shared, &caller, wanted, verb)?;
        }
        None => access::path(shared, &caller, request)?,
    }
    Ok(caller)
}

async fn route(
    shared: &Arc<Shared>,
    peer: Option<Caller>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, ApiError> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if matches!(path.as_str(), "/healthz" | "/livez" | "/readyz")
        || path.starts_with("/livez/")
        || path.starts_with("/readyz/")
    {
        return Ok(respond::text("ok"));
    }
    let wanted = path::resource(request.uri().path());
    let caller = match admit(shared, peer, wanted.as_ref(), &request) {
        Ok(caller) => caller,
        Err(error) => {
            body::discard(request.into_body()).await;
            return Err(error);
        }
    };
    if let Some(wanted) = wanted {
        return objects::handle(shared, &caller, wanted, request).await;
    }
    if path == "/openapi" || path.starts_with("/openapi/") {
        return openapi::handle(shared, &path, &path::Query::parse(request.uri().query()));
    }
    discovery::handle(shared, &path, &request)
}
