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
use tokio::net::TcpStream;

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
    idle: Mutex<Vec<(SendRequest<RequestBody>, Instant)>>,
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
        while let Some(mut sender) = self.take_idle() {
            // Ready at once, or closed, or about to become one of the two: its last response has ended.
            if sender.ready().await.is_ok() {
                return Ok(Connection { sender, upstream: self.clone(), is_fresh: false });
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
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(async move {
            // What went wrong is told to the request that it happened to.
            let _ = connection.with_upgrades().await;
        });
        self.avoid_until.store(0, Ordering::Relaxed);
        Ok(Connection { sender, upstream: self.clone(), is_fresh: true })
    }

    /// The one that was used last: the others may then age and be closed.
    fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.lock();
        while let Some((sender, since)) = idle.pop() {
            if since.elapsed() > IDLE_LIMIT {
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    /// Closes connections that nobody has used for long.
    pub fn close_stale(&self) {
        self.idle.lock().retain(|(sender, since)| !sender.is_closed() && since.elapsed() <= IDLE_LIMIT);
    }
}

/// One connection, for one request at a time. Dropped without [`Connection::release`] it is closed.
pub struct Connection {
    sender: SendRequest<RequestBody>,
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
    /// # Errors
    /// When the connection breaks before the response's head.
    pub async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, SendError> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut error| SendError { unsent: error.take_message(), error: error.into_error() })
    }

    /// Gives the connection back once the response has ended.
    pub fn release(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.upstream.idle.lock();
        if idle.len() < IDLE_AT_MOST {
            idle.push((self.sender, Instant::now()));
        }
    }
}
