//! The live view as server-sent events.

use super::Application;
use super::problem::Refusal;
use crate::lifecycle::Lifecycle;
use crate::live::{Batch, Live, Start};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};

/// A console each; more than this on one replica is a mistake of somebody's.
const STREAMS_AT_MOST: i64 = 500;
/// Shorter than any proxy's idle limit.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How soon a browser comes back after the stream has ended.
const RECONNECT: Duration = Duration::from_millis(500);
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub async fn stream(State(application): State<Application>, headers: HeaderMap) -> Result<Response, Refusal> {
    if application.lifecycle.is_draining() {
        return Err(Refusal::Draining);
    }
    if !application.live.is_filled() {
        return Err(Refusal::ClusterUnknown);
    }
    let open = Open::enter(&application.metrics.streams).ok_or(Refusal::Overloaded)?;
    let last_event_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let events = follow(application.live, application.lifecycle, last_event_id, open);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    response.headers_mut().insert(NO_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Counts a stream for as long as it lives.
struct Open(Gauge);

impl Open {
    fn enter(gauge: &Gauge) -> Option<Open> {
        let open = Open(gauge.clone());
        (open.0.inc() < STREAMS_AT_MOST).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Follower {
    live: Arc<Live>,
    lifecycle: Lifecycle,
    queued: VecDeque<Event>,
    receiver: broadcast::Receiver<Arc<Batch>>,
    _open: Open,
}

/// Ends when draining begins: the client then finds another replica.
fn follow(
    live: Arc<Live>,
    lifecycle: Lifecycle,
    last_event_id: Option<&str>,
    open: Open,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let (start, receiver) = live.follow(last_event_id);
    let mut follower = Follower { queued: VecDeque::new(), live, lifecycle, receiver, _open: open };
    follower.queue(start);
    futures::stream::unfold(
        follower,
        |mut follower| async move { follower.next().await.map(|event| (Ok(event), follower)) },
    )
}

impl Follower {
    fn queue(&mut self, start: Start) {
        match start {
            Start::Snapshot(snapshot) => {
                let id = self.live.event_id(snapshot.revision);
                match Event::default().event("snapshot").id(id).retry(RECONNECT).json_data(&*snapshot) {
                    Ok(event) => self.queued.push_back(event),
                    Err(error) => tracing::error!(%error, "a snapshot cannot be serialised"),
                }
            }
            Start::Missed(batches) => batches.iter().for_each(|batch| {
                let event = self.changes(batch);
                self.queued.push_back(event);
            }),
        }
    }

    fn changes(&self, batch: &Batch) -> Event {
        Event::default().event("changes").id(self.live.event_id(batch.revision)).data(&batch.json)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Some(event);
            }
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                () = self.lifecycle.drained() => return None,
            };
            match received {
                Ok(batch) => return Some(self.changes(&batch)),
                // Too slow to follow every change: it starts over from the current view.
                Err(RecvError::Lagged(_)) => {
                    let (start, receiver) = self.live.follow(None);
                    self.receiver = receiver;
                    self.queue(start);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
