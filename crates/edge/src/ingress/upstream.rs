//! One pod: its address and the connections to it.

use super::body::RequestBody;
use super::timers::Timers;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A pod on the same network accepts at once or is gone.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Shorter than what any server behind this proxy keeps idle connections (nginx 120 s here, axum for ever), so that it is
/// this side that closes them and not the pod in the same moment as a request is sent.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// A connection that has been looked at this short a time ago need not be looked at again.
const MOMENT: Duration = Duration::from_millis(5);
const IDLE_AT_MOST: usize = 256;
/// After a failed connect, others are preferred for this long.
const AVOID: Duration = Duration::from_millis(1000);

pub struct Upstream {
    pub address: SocketAddr,
    timers: Timers,
    idle: Mutex<Vec<(Line, Instant)>>,
    /// Milliseconds since `started` until which others are preferred.
    avoid_until: AtomicU64,
    started: Instant,
}

impl Upstream {
    pub fn new(address: SocketAddr, timers: Timers) -> Arc<Upstream> {
        let (idle, avoid_until, started) = (Mutex::default(), AtomicU64::new(0), Instant::now());
        Arc::new(Upstream { address, timers, idle, avoid_until, started })
    }

    pub fn is_avoided(&self) -> bool {
        let until = self.avoid_until.load(Ordering::Relaxed);
        until > 0 && (self.started.elapsed().as_millis() as u64) < until
    }

    fn avoid(&self) {
        let until = self.started.elapsed() + AVOID;
        self.avoid_until.store(until.as_millis() as u64, Ordering::Relaxed);
    }

    /// An idle connection that is still good. Where the request can be sent again, one that was good a moment ago will do.
    pub fn idle_connection(self: &Arc<Upstream>, now: Instant, can_repeat: bool) -> Option<Connection> {
        self.take_idle(now, can_repeat).map(|line| Connection { line, upstream: self.clone(), is_fresh: false })
    }

    /// A connection that nobody has used before. Where there is none to be had, other pods are preferred for a while.
    ///
    /// # Errors
    /// When the pod does not accept one; nothing was sent then.
    pub async fn connect(self: &Arc<Upstream>) -> std::io::Result<Connection> {
        self.open().await.inspect_err(|_| self.avoid())
    }

    async fn open(self: &Arc<Upstream>) -> std::io::Result<Connection> {
        let connected = self.timers.within(CONNECT_LIMIT, TcpStream::connect(self.address)).await;
        let stream = connected.ok_or(std::io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        let line = Line::over(stream).await?;
        self.avoid_until.store(0, Ordering::Relaxed);
        Ok(Connection { line, upstream: self.clone(), is_fresh: true })
    }

    /// The one that was used last: the others may then age and be closed.
    fn take_idle(&self, now: Instant, can_repeat: bool) -> Option<Line> {
        let mut idle = self.idle.lock();
        while let Some((mut line, since)) = idle.pop() {
            let idle_for = now.saturating_duration_since(since);
            if idle_for > IDLE_LIMIT {
                idle.clear();
                return None;
            }
            if (can_repeat && idle_for < MOMENT) || line.is_free() {
                return Some(line);
            }
        }
        None
    }

    /// Closes connections that nobody has used for long, and those that pods have closed: nobody looks at them while they idle.
    pub fn close_stale(&self) {
        self.idle.lock().retain_mut(|(line, since)| since.elapsed() <= IDLE_LIMIT && line.is_free());
    }
}

/// A connection as hyper has it: what takes requests, and the future that carries them. Whoever waits for an answer polls both,
/// in one task: no wake-up from task to task on the way, a response's head and body leave in one write, and no request can be
/// put into the queue of a connection that ends in another thread at the same moment.
struct Line {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    carrier: Option<Carrier>,
}

/// hyper's type for it has no name.
type Carrier = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Line {
    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> std::io::Result<Line> {
        let (sender, connection) =
            http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        Ok(Line { sender, carrier: Some(Box::pin(connection.with_upgrades())) })
    }

    /// Moves bytes. What goes wrong is told to the request that it happens to; dropping the carrier is what tells it.
    fn carry(carrier: &mut Option<Carrier>, cx: &mut Context<'_>) {
        if carrier.as_mut().is_some_and(|carrier| carrier.as_mut().poll(cx).is_ready()) {
            *carrier = None;
        }
    }

    /// Whether the next request can be sent at once: the last exchange has ended on both sides, and so has not the connection.
    ///
    /// Nobody is woken for what is seen here: an idle line is looked at again before it is used.
    fn is_free(&mut self) -> bool {
        Line::carry(&mut self.carrier, &mut Context::from_waker(Waker::noop()));
        self.carrier.is_some() && self.sender.is_ready()
    }

    /// One request, taken out of its place only now: a request is large to hand from call to call.
    async fn send(&mut self, request: &mut Option<Request<RequestBody>>) -> Result<Response<Incoming>, SendError> {
        let Line { sender, carrier } = self;
        let mut answer = std::pin::pin!(sender.try_send_request(request.take().unwrap_or_default()));
        let answered = std::future::poll_fn(|cx| {
            Line::carry(carrier, cx);
            answer.as_mut().poll(cx)
        });
        answered
            .await
            .map_err(|mut error| SendError { unsent: error.take_message().map(Box::new), error: error.into_error() })
    }
}

/// One connection, for one request at a time. Dropped without [`Connection::release`] it is closed.
pub struct Connection {
    line: Line,
    upstream: Arc<Upstream>,
    pub is_fresh: bool,
}

/// Why there is no response.
pub struct SendError {
    pub error: hyper::Error,
    /// The request, when nothing of it was sent.
    pub unsent: Option<Box<Request<RequestBody>>>,
}

impl Connection {
    /// The response's head. The connection is to be carried on while the body comes, then to be released.
    ///
    /// # Errors
    /// When the connection breaks before.
    pub async fn send(&mut self, request: &mut Option<Request<RequestBody>>) -> Result<Response<Incoming>, SendError> {
        self.line.send(request).await
    }

    /// Moves bytes between the pod and the bodies of the exchange.
    pub fn carry(&mut self, cx: &mut Context<'_>) {
        Line::carry(&mut self.line.carrier, cx);
    }

    /// Carries until the connection ends or is handed over to whoever asked for an upgrade.
    pub async fn carry_to_the_end(self) {
        if let Some(carrier) = self.line.carrier {
            // Whoever waits for the upgrade is told what went wrong.
            let _ = carrier.await;
        }
    }

    /// Gives the connection back once the response has ended. One on which the request has not ended yet is closed: nobody
    /// would carry the rest of it.
    pub fn release(mut self) {
        if !self.line.is_free() {
            return;
        }
        let mut idle = self.upstream.idle.lock();
        if idle.len() < IDLE_AT_MOST {
            idle.push((self.line, Instant::now()));
        }
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
