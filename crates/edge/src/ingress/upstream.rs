//! One pod: its address and the connections to it.

use super::body::RequestBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A pod on the same network accepts at once or is gone.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Shorter than what any server behind this proxy keeps idle connections (nginx 120 s here, axum for ever), so that it is
/// this side that closes them and not the pod in the same moment as a request is sent.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const IDLE_AT_MOST: usize = 256;
/// After a failed connect, others are preferred for this long.
const AVOID: Duration = Duration::from_millis(1000);

pub struct Upstream {
    pub address: SocketAddr,
    idle: Mutex<Vec<(Line, Instant)>>,
    /// Milliseconds since `started` until which others are preferred.
    avoid_until: AtomicU64,
    started: Instant,
}

impl Upstream {
    pub fn new(address: SocketAddr) -> Arc<Upstream> {
        Arc::new(Upstream { address, idle: Mutex::default(), avoid_until: AtomicU64::new(0), started: Instant::now() })
    }

    pub fn is_avoided(&self) -> bool {
        let until = self.avoid_until.load(Ordering::Relaxed);
        until > 0 && (self.started.elapsed().as_millis() as u64) < until
    }

    fn avoid(&self) {
        let until = self.started.elapsed() + AVOID;
        self.avoid_until.store(until.as_millis() as u64, Ordering::Relaxed);
    }

    /// An idle connection that is still good, else a new one.
    ///
    /// # Errors
    /// When the pod does not accept one; nothing was sent then.
    pub async fn connection(self: &Arc<Upstream>) -> std::io::Result<Connection> {
        while let Some(mut line) = self.take_idle() {
            // Ready at once, or closed, or about to become one of the two: its last response has ended.
            if line.sender.ready().await.is_ok() {
                return Ok(Connection { line, upstream: self.clone(), is_fresh: false });
            }
        }
        self.connect().await.inspect_err(|_| self.avoid())
    }

    /// A connection that nobody has used before.
    ///
    /// # Errors
    /// When the pod does not accept one.
    pub async fn connect(self: &Arc<Upstream>) -> std::io::Result<Connection> {
        let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(self.address))
            .await
            .map_err(|_| std::io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        let line = Line::over(stream).await?;
        self.avoid_until.store(0, Ordering::Relaxed);
        Ok(Connection { line, upstream: self.clone(), is_fresh: true })
    }

    /// The one that was used last: the others may then age and be closed.
    fn take_idle(&self) -> Option<Line> {
        let mut idle = self.idle.lock();
        while let Some((line, since)) = idle.pop() {
            if since.elapsed() > IDLE_LIMIT {
                idle.clear();
                return None;
            }
            if !line.sender.is_closed() {
                return Some(line);
            }
        }
        None
    }

    /// Closes connections that nobody has used for long.
    pub fn close_stale(&self) {
        self.idle.lock().retain(|(line, since)| !line.sender.is_closed() && since.elapsed() <= IDLE_LIMIT);
    }
}

/// What sends requests, and the news of when the task that carries them has ended.
struct Line {
    sender: SendRequest<RequestBody>,
    /// Its other end is dropped with the task.
    carried: watch::Receiver<()>,
}

impl Line {
    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> std::io::Result<Line> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        let (carrying, carried) = watch::channel(());
        tokio::spawn(async move {
            // What went wrong is told to the request that it happened to.
            let _ = connection.with_upgrades().await;
            drop(carrying);
        });
        Ok(Line { sender, carried })
    }

    /// One request. Afterwards the line is there again, unless it ended meanwhile.
    async fn send(self, request: Request<RequestBody>) -> (Result<Response<Incoming>, SendError>, Option<Line>) {
        let Line { mut sender, mut carried } = self;
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        let answered = tokio::select! {
            biased;
            answered = answer.as_mut() => Some(answered),
            // Nothing is ever sent over it: the other end is gone, and with it the connection.
            _ = carried.changed() => None,
        };
        let (answered, line) = match answered {
            Some(answered) => (answered, Some(Line { sender, carried })),
            // The request may have been queued in the very moment in which the task emptied its queue for the last time
            // (tokio's `mpsc` counts a message before it links it in, and only looks for linked ones when the receiver is
            // dropped). It then lies in a queue that ends with the sender, so waiting while holding that would be for ever.
            None => {
                drop(sender);
                (answer.await, None)
            }
        };
        let answered =
            answered.map_err(|mut error| SendError { unsent: error.take_message(), error: error.into_error() });
        (answered, line)
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
    pub unsent: Option<Request<RequestBody>>,
}

impl Connection {
    /// The response, and the connection to release when its body has ended.
    ///
    /// # Errors
    /// When the connection breaks before the response's head.
    pub async fn send(
        self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Option<Connection>), SendError> {
        let (answered, line) = self.line.send(request).await;
        let (upstream, is_fresh) = (self.upstream, self.is_fresh);
        answered.map(|response| (response, line.map(|line| Connection { line, upstream, is_fresh })))
    }

    /// Gives the connection back once the response has ended.
    pub fn release(self) {
        if self.line.sender.is_closed() {
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
