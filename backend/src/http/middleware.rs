//! What every request passes through.

use super::Application;
use super::problem::Refusal;
use crate::metrics::Metrics;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Requests that run at once; the database pool is far smaller, the CPU too.
const RUNNING: usize = 64;
/// Requests that may wait for their turn. At a thousand a second that is four seconds of waiting.
const WAITING: usize = 4096;
/// From arrival to answer; an event stream's answer is its head.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Who may run and who waits.
pub struct Admission {
    running: Semaphore,
    waiting: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Admission {
    pub fn new(metrics: Arc<Metrics>) -> Admission {
        Admission { running: Semaphore::new(RUNNING), waiting: AtomicUsize::new(0), metrics }
    }
}

/// Leaves the queue also when the client goes away while it waits.
struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn enter(admission: &'a Admission) -> Option<Waiting<'a>> {
        let before = admission.waiting.fetch_add(1, Ordering::Relaxed);
        admission.metrics.waiting.inc();
        let waiting = Waiting(admission);
        (before < WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}

/// Backpressure: a bounded queue in front of a bounded number of running requests, and a time limit over both.
pub async fn admit(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    let Some(waiting) = Waiting::enter(&admission) else {
        admission.metrics.shed.inc();
        return Refusal::Overloaded.into_response();
    };
    let answer = async {
        let permit = admission.running.acquire().await;
        drop(waiting);
        let response = next.run(request).await;
        drop(permit);
        response
    };
    match tokio::time::timeout(TIME_LIMIT, answer).await {
        Ok(response) => response,
        Err(_) => Refusal::TooSlow.into_response(),
    }
}

/// Request id, log line, metrics; closes connections while draining, so that clients move to another replica between
/// two requests and not within one.
pub async fn observe(State(application): State<Application>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_id);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::debug_span!("request", id = id.to_str().unwrap_or_default(), method = %request.method(), route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = started.elapsed();
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), took_ms = took.as_secs_f64() * 1e3, "answered")
    });
    application.metrics.observe(&route, response.status().as_u16(), took);
    response.headers_mut().insert(REQUEST_ID, id);
    if application.lifecycle.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Ids of others end up in logs: short and printable, or replaced.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

fn new_id() -> HeaderValue {
    HeaderValue::from_str(&uuid::Uuid::new_v4().simple().to_string())
        .expect("hexadecimal digits are a valid header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_of_others_must_be_short_and_printable() {
        let check = |id: &str| is_sane(&HeaderValue::from_str(id).expect("a header value"));
        assert!(check("0af7-65.1:a_b"));
        assert!(!check(""));
        assert!(!check("a b"));
        assert!(!check("\"quoted\""));
        assert!(!check(&"x".repeat(129)));
    }

    #[test]
    fn the_queue_is_bounded_and_left_by_those_who_give_up() {
        let admission = Admission::new(Arc::new(Metrics::new()));
        let inside: Vec<_> = (0..WAITING).map(|_| Waiting::enter(&admission).expect("room in the queue")).collect();
        assert!(Waiting::enter(&admission).is_none());
        drop(inside);
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
        assert!(Waiting::enter(&admission).is_some());
    }
}
