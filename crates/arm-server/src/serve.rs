//! HTTPS: connections, and the envelope of every answer.

use std::convert::Infallible;
use std::sync::Arc;

use arm_engine::{Fault, Method, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::handle::EngineHandle;
use crate::identity::Identity;
use crate::limits::{Limits, Taken};

/// ARM's limit of a request's body.
const MAX_BODY: usize = 4 * 1024 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn tls(certificate_pem: &str, key_pem: &str) -> Result<TlsAcceptor, Failure> {
    let certificates = rustls_pemfile::certs(&mut certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = rustls_pemfile::private_key(&mut key_pem.as_bytes())?.ok_or("the PEM holds no private key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Who is let in, and how often.
pub(crate) struct Door {
    pub identity: Arc<Identity>,
    pub limits: Limits,
}

pub(crate) async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    engine: EngineHandle,
    door: Arc<Door>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, engine, door, stopped) = (tls.clone(), engine.clone(), door.clone(), stopped.clone());
                    connections.spawn(async move { connection(stream, tls, engine, door, stopped).await });
                }
                // Too many open files passes when connections close; waiting keeps this loop from spinning.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = stopped.changed() => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: tokio::net::TcpStream,
    tls: TlsAcceptor,
    engine: EngineHandle,
    door: Arc<Door>,
    mut stopped: watch::Receiver<bool>,
) {
    // Small answers should not wait for the peer's acknowledgement; failing to ask for that only costs time.
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(std::time::Duration::from_secs(10), tls.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let service = hyper::service::service_fn(move |request| {
        let (engine, door) = (engine.clone(), door.clone());
        async move { Ok::<_, Infallible>(answer(request, &engine, &door).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(request: hyper::Request<Incoming>, engine: &EngineHandle, door: &Door) -> hyper::Response<Full<Bytes>> {
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let correlation = find("x-ms-correlation-request-id").filter(|id| id.len() <= 100);
    let client_request = find("x-ms-client-request-id")
        .filter(|_| find("x-ms-return-client-request-id").is_some_and(|wish| wish.eq_ignore_ascii_case("true")));
    let method = request.method().clone();
    let response = respond(request, headers, engine, door).await;
    envelope(response, &method, correlation, client_request)
}

async fn respond(
    request: hyper::Request<Incoming>,
    headers: Vec<(String, String)>,
    engine: &EngineHandle,
    door: &Door,
) -> Response {
    let identity = &door.identity;
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let base_url = format!("https://{}", find("host").unwrap_or("localhost"));
    let Some(path) = decoded(request.uri().path()) else {
        return Fault::bad_request("InvalidUri", "The path is not valid percent-encoded UTF-8.").into();
    };
    let query =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let method = match request.method().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => return Fault::not_allowed().into(),
    };
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let fault = Fault::new(
                413,
                "RequestContentTooLarge",
                format!("The request content size exceeds the maximum size of {MAX_BODY} bytes."),
            );
            // The rest of the body is not read, so the connection cannot be used again.
            return Response::from(fault).header("Connection", "close");
        }
        Err(_) => return Fault::bad_request("InvalidRequestContent", "The request content could not be read.").into(),
    };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if let (Method::Post, [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"]) =
        (method, segments.as_slice())
    {
        let (status, body) = identity.token(tenant, &body, &base_url, |app| engine.sign_in_of(app));
        return Response::json(status, body);
    }
    if let (Method::Get, Some(document)) = (method, identity.document(&segments, &base_url)) {
        return Response::json(200, document);
    }
    let principal = match identity.authenticate(find("authorization")) {
        Ok(principal) => principal,
        Err(refusal) => {
            return Response::from(Fault::new(401, refusal.0, refusal.1))
                .header("WWW-Authenticate", identity.challenge(&base_url, refusal));
        }
    };
    let is_directory = segments.first().is_some_and(|first| *first == "v1.0");
    let taken = (!is_directory).then(|| door.limits.take(&principal.object_id, method, clock::now()));
    if let Some(refusal) = taken.as_ref().and_then(Taken::refusal) {
        return taken.iter().fold(refusal, |answer, taken| taken.tell(answer));
    }
    if let Some(failure) = engine.meet_trouble().await {
        return failure;
    }
    let request = Request { method, path, query, headers, body: body.to_vec(), principal, base_url };
    let is_poll = request.method == Method::Get && arm_engine::is_poll(&request.path);
    let answer = if is_directory {
        engine.directory(&request).await
    } else if is_poll {
        engine.handle_poll(&request).await
    } else {
        engine.handle(&request).await
    };
    let answer = answer.unwrap_or_else(|error| Fault::new(500, "InternalServerError", error.to_string()).into());
    taken.iter().fold(answer, |answer, taken| taken.tell(answer))
}

fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn envelope(
    response: Response,
    method: &hyper::Method,
    correlation: Option<String>,
    client_request: Option<String>,
) -> hyper::Response<Full<Bytes>> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let correlation = correlation.unwrap_or_else(|| request_id.clone());
    let body = match &response.body {
        Some(body) if method != hyper::Method::HEAD => Bytes::from(body.to_string()),
        _ => Bytes::new(),
    };
    let mut built = hyper::Response::new(Full::new(body));
    *built.status_mut() =
        hyper::StatusCode::from_u16(response.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let mut set = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            built.headers_mut().insert(name, value);
        }
    };
    if response.body.is_some() {
        set("content-type", "application/json; charset=utf-8");
    }
    set("cache-control", "no-cache");
    set("pragma", "no-cache");
    set("strict-transport-security", "max-age=31536000; includeSubDomains");
    set("x-content-type-options", "nosniff");
    set("x-ms-routing-request-id", &format!("MAREA:{request_id}"));
    set("x-ms-request-id", &request_id);
    set("x-ms-correlation-request-id", &correlation);
    if let Some(id) = client_request {
        set("x-ms-client-request-id", &id);
    }
    for (name, value) in &response.headers {
        set(name, value);
    }
    built
}
