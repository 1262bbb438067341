//! Carries one request to a pod and its response back, and tries again where that is safe.
//!
//! A request is sent again when nothing of it can have had an effect: the pod did not accept the connection, nothing was
//! sent, or the method is idempotent (RFC 9110, 9.2.2) and not a byte of the response has come. Requests that are not
//! idempotent get a connection of their own, because on one that has idled nobody can tell whether the pod closed it before or
//! after it read the request.

use super::body::{RequestBody, ResponseBody};
use super::headers::{self, Client};
use super::metrics::{Kind, Metrics};
use super::service::{Routing, Service};
use super::upstream::Connection;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a request looks for a pod that takes it, while there are endpoints: longer than the API needs to tell that
/// some of them are gone.
const RETRY_BUDGET: Duration = Duration::from_secs(10);
/// Between two rounds over all endpoints.
const ROUND_PAUSE: Duration = Duration::from_millis(25);
/// Pods that may break off a request before it is given up: it may be the request that kills them.
const BROKEN_AT_MOST: u32 = 5;
/// Bodies up to this size are read first, so that they can be sent again.
const BUFFERED_BYTES: u64 = 64 * 1024;

/// What requests of one entry point share.
pub struct Proxy {
    pub routing: Arc<Routing>,
    pub metrics: Arc<Metrics>,
    pub entry_point: Arc<str>,
    pub local_port: u16,
    /// The next response on each connection is its last.
    pub draining: Arc<AtomicBool>,
}

enum Failure {
    NoRoute,
    NoEndpoint,
    /// The pods accept nothing, or broke off a request that cannot be repeated.
    BadGateway(String),
    BadRequest,
}

impl Proxy {
    pub async fn handle(&self, request: Request<Incoming>, client: &Client) -> Response<ResponseBody> {
        let started = Instant::now();
        let method = request.method().clone();
        let is_upgrade = headers::is_upgrade(request.headers());
        let service = self.service(&request);
        let result = match &service {
            Some(service) => self.forward(request, is_upgrade, service.clone(), client, started).await,
            None => Err(Failure::NoRoute),
        };
        let mut response = result.unwrap_or_else(|failure| answer(failure, &self.entry_point));
        if self.draining.load(Ordering::Relaxed) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let kind = Kind::new(&method, is_upgrade, response.status().as_u16());
        match &service {
            Some(service) => service.count(&self.metrics, &self.entry_point, kind, started.elapsed()),
            None => self.metrics.unrouted(&self.entry_point, kind),
        }
        response
    }

    fn service<B>(&self, request: &Request<B>) -> Option<Arc<Service>> {
        self.routing.find(&self.entry_point, host(request.headers(), request.uri()), request.uri().path())
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        is_upgrade: bool,
        service: Arc<Service>,
        client: &Client,
        started: Instant,
    ) -> Result<Response<ResponseBody>, Failure> {
        let client_upgrade = is_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let body = read_body(&head, body).await?;
        name_host(&mut head);
        head.uri = origin_form(&head.uri)?;
        head.version = Version::HTTP_11;
        // Connection-level extensions stay with the client's connection.
        head.extensions = http::Extensions::new();
        let (idempotent, replay) = (head.method.is_idempotent(), Replay::of(&head, &body));
        headers::pass_on(&mut head.headers, client);
        let mut attempt = Attempt {
            idempotent,
            replay,
            client,
            request: Some(Request::from_parts(head, body)),
            started,
            tried: Vec::new(),
            broken: 0,
        };
        let (mut response, connection) = self.find_pod(service, &mut attempt).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.switch_protocols(response, connection, client_upgrade));
        }
        headers::strip_hop_by_hop(response.headers_mut());
        Ok(response.map(|body| ResponseBody::passed(body, connection)))
    }

    async fn find_pod(
        &self,
        mut service: Arc<Service>,
        attempt: &mut Attempt<'_>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        loop {
            let Some(upstream) = service.pick(&attempt.tried) else {
                if service.is_empty() {
                    return Err(Failure::NoEndpoint);
                }
                if attempt.started.elapsed() > RETRY_BUDGET {
                    return Err(Failure::BadGateway("no endpoint accepts a connection".to_owned()));
                }
                self.routing.timers.sleep(ROUND_PAUSE).await;
                attempt.tried.clear();
                service =
                    attempt.request.as_ref().and_then(|request| self.service(request)).ok_or(Failure::NoEndpoint)?;
                continue;
            };
            let can_repeat = matches!(attempt.replay, Replay::Yes { .. });
            let idle = if attempt.idempotent { upstream.idle_connection(attempt.started, can_repeat) } else { None };
            let connected = match idle {
                Some(connection) => Ok(connection),
                // In a box, because the common case should not carry the room for this along.
                None => Box::pin(upstream.connect()).await,
            };
            let Ok(mut connection) = connected else {
                attempt.tried.push(upstream.address);
                self.metrics.retry(&service.name);
                continue;
            };
            let is_fresh = connection.is_fresh;
            let failed = match connection.send(&mut attempt.request).await {
                Ok(response) => return Ok((response, connection)),
                Err(failed) => failed,
            };
            // An idle connection that had died says nothing about the pod.
            if is_fresh {
                attempt.tried.push(upstream.address);
                attempt.broken += u32::from(failed.unsent.is_none());
            }
            attempt.request = failed.unsent.map(|unsent| *unsent).or_else(|| attempt.replay.request(attempt.client));
            let is_last = attempt.broken >= BROKEN_AT_MOST || attempt.started.elapsed() > RETRY_BUDGET;
            if is_last || attempt.request.is_none() {
                return Err(Failure::BadGateway(format!(
                    "{} broke off the request: {}",
                    upstream.address, failed.error
                )));
            }
            self.metrics.retry(&service.name);
        }
    }

    /// Joins the two connections after both sides have agreed.
    fn switch_protocols(
        &self,
        mut response: Response<Incoming>,
        connection: Connection,
        client_upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Response<ResponseBody> {
        let Some(client_upgrade) = client_upgrade else {
            return answer(Failure::BadGateway("a pod switched protocols unasked".to_owned()), &self.entry_point);
        };
        let pod_upgrade = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let joined = tokio::join!(client_upgrade, pod_upgrade, connection.carry_to_the_end());
            if let (Ok(client), Ok(pod), ()) = joined {
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(pod)).await;
            }
        });
        headers::strip_hop_by_hop(response.headers_mut());
        response.map(|_| ResponseBody::text(Bytes::new()))
    }
}

struct Attempt<'a> {
    /// `None` while it is on its way.
    request: Option<Request<RequestBody>>,
    idempotent: bool,
    replay: Replay,
    client: &'a Client,
    started: Instant,
    /// Endpoints that refused in this round.
    tried: Vec<SocketAddr>,
    /// Fresh connections that broke after something was sent.
    broken: u32,
}

/// A copy of the request as the client sent it, where it may be sent twice: mostly it is not, so it is cheap to make and to
/// throw away.
enum Replay {
    No,
    Yes { method: Method, target: Uri, headers: Vec<(HeaderName, HeaderValue)>, body: Option<Full<Bytes>> },
}

impl Replay {
    fn of(head: &Parts, body: &RequestBody) -> Replay {
        if !head.method.is_idempotent() {
            return Replay::No;
        }
        let body = match body {
            RequestBody::Streaming(_) => return Replay::No,
            RequestBody::Empty => None,
            RequestBody::Buffered(body) => Some(body.clone()),
        };
        let mut headers = Vec::with_capacity(head.headers.len());
        headers.extend(head.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Replay::Yes { method: head.method.clone(), target: head.uri.clone(), headers, body }
    }

    fn request(&self, client: &Client) -> Option<Request<RequestBody>> {
        let Replay::Yes { method, target, headers, body } = self else { return None };
        let mut request = Request::new(body.clone().map_or(RequestBody::Empty, RequestBody::Buffered));
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.clone();
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        headers::pass_on(request.headers_mut(), client);
        Some(request)
    }
}

async fn read_body(head: &Parts, body: Incoming) -> Result<RequestBody, Failure> {
    use hyper::body::Body as _;
    if body.is_end_stream() {
        return Ok(RequestBody::Empty);
    }
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length.filter(|_| !head.headers.contains_key(TRANSFER_ENCODING)) {
        Some(length) if length <= BUFFERED_BYTES => {
            Ok(RequestBody::Buffered(Full::new(body.collect().await.map_err(|_| Failure::BadRequest)?.to_bytes())))
        }
        _ => Ok(RequestBody::Streaming(body)),
    }
}

/// Without its port.
fn host<'a>(headers: &'a http::HeaderMap, uri: &'a Uri) -> &'a str {
    if let Some(authority) = uri.host() {
        return authority;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The host of an absolute target takes the place of what `Host` says (RFC 9112, 3.2.2).
fn name_host(head: &mut Parts) {
    let Some(authority) = head.uri.authority() else { return };
    let (_, host) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    // An authority is made of characters that a header may have.
    if let Ok(host) = HeaderValue::from_str(host) {
        head.headers.insert(HOST, host);
    }
}

fn origin_form(uri: &Uri) -> Result<Uri, Failure> {
    let target = uri.path_and_query().cloned().ok_or(Failure::BadRequest)?;
    Ok(Uri::from(target))
}

/// With Traefik's words.
fn answer(failure: Failure, entry_point: &str) -> Response<ResponseBody> {
    let (status, text) = match failure {
        Failure::NoRoute => (StatusCode::NOT_FOUND, "404 page not found\n"),
        Failure::NoEndpoint => (StatusCode::SERVICE_UNAVAILABLE, "no available server\n"),
        Failure::BadRequest => (StatusCode::BAD_REQUEST, "Bad Request\n"),
        Failure::BadGateway(reason) => {
            tracing::warn!(entry_point, reason, "bad gateway");
            (StatusCode::BAD_GATEWAY, "Bad Gateway\n")
        }
    };
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
