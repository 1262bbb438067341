//! A client's connection: its requests one after the other, and when it ends.

use super::body::ResponseBody;
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// What all connections of an entry point are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Time has passed: those that have waited for too long may go.
    Look,
    /// Finish the request in flight and close.
    Close,
}

/// Carries a connection to its end. One that waits for a request's head for longer than `idle_limit` is closed at the next
/// [`Signal::Look`].
pub async fn carry<I, S>(stream: I, service: S, idle_limit: Duration, mut signals: watch::Receiver<Signal>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(Looked)
        .header_read_timeout(idle_limit)
        // A small body is copied to its head, which costs less than telling the kernel of two pieces.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut glance = signals.clone();
    loop {
        let mut told = pin!(signals.changed());
        let mut waits = false;
        let ended = std::future::poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            // Once the future of the signal waits it need not be asked at every wake-up: a task's waker stays the same, and
            // whether there is a signal is seen for the price of a load.
            if !waits || glance.has_changed().unwrap_or(true) {
                waits = true;
                return told.as_mut().poll(cx).map(|_| false);
            }
            Poll::Pending
        });
        if ended.await {
            return;
        }
        // Without a sender there is no server any more.
        if glance.has_changed().is_err() || *glance.borrow_and_update() == Signal::Close {
            connection.as_mut().graceful_shutdown();
            // A client that breaks off is its own business.
            let _ = connection.await;
            return;
        }
    }
}

/// Time for hyper that passes only when somebody looks: a timer for every single request would cost more than its head.
struct Looked;

impl Timer for Looked {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until(deadline))
    }
}

/// Wakes nobody: [`Signal::Look`] does.
struct Until(Instant);

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for Until {}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
