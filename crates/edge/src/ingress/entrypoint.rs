//! One entry point: a listener, its connections, and how both end.

use super::body::ResponseBody;
use super::connection::{self, Signal};
use super::flags::EntryPoint;
use super::headers::Client;
use super::metrics::Metrics;
use super::proxy::Proxy;
use anyhow::Context as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Traefik's `respondingTimeouts.idleTimeout`.
const IDLE_LIMIT: Duration = Duration::from_secs(180);
/// How often connections look whether it has passed: so much later may one be closed.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Paths that this program answers itself, before any route.
pub struct Own {
    pub metrics: Option<Arc<Metrics>>,
    /// True once routes are known.
    pub ping: Option<watch::Receiver<bool>>,
}

pub struct Server {
    pub proxy: Proxy,
    pub own: Own,
    pub settings: EntryPoint,
}

impl Server {
    /// Serves until `stop` says so, then for the accept grace, then finishes what is in flight.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let address = self.settings.address;
        let listener = bind(address)
            .with_context(|| format!("entry point {} cannot listen on {address}", self.proxy.entry_point))?;
        tracing::info!(entry_point = &*self.proxy.entry_point, %address, "listening");
        let (accept_grace, grace) = (self.settings.accept_grace, self.settings.grace);
        let (draining, timers) = (self.proxy.draining.clone(), self.proxy.routing.timers.clone());
        let server = Arc::new(self);
        // Every connection holds a receiver; when all are gone, all connections are.
        let (signals, _) = watch::channel(Signal::Look);
        let mut look = std::pin::pin!(timers.sleep(LOOK_EVERY));
        let stopped = async {
            // The sender lives as long as the program.
            let _ = stop.wait_for(|stop| *stop).await;
            draining.store(true, Ordering::Relaxed);
            timers.sleep(accept_grace).await;
        };
        let mut stopped = std::pin::pin!(stopped);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, client)) => server.clone().serve(stream, client, signals.subscribe()),
                    Err(error) => {
                        // Out of file descriptors, most likely: others must close first.
                        tracing::warn!(%error, "cannot accept");
                        timers.sleep(Duration::from_millis(20)).await;
                    }
                },
                () = &mut look => {
                    look.set(timers.sleep(LOOK_EVERY));
                    signals.send_replace(Signal::Look);
                }
                () = &mut stopped => break,
            }
        }
        drop(listener);
        signals.send_replace(Signal::Close);
        if timers.within(grace, signals.closed()).await.is_none() {
            tracing::warn!(entry_point = &*server.proxy.entry_point, "requests still in flight are given up");
        }
        Ok(())
    }

    fn serve(self: Arc<Server>, stream: TcpStream, client: SocketAddr, signals: watch::Receiver<Signal>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let open = self.proxy.metrics.open_connections(&self.proxy.entry_point);
        open.inc();
        let client = Client::new(client, self.proxy.local_port);
        let service = service_fn(move |request| {
            let (server, client) = (self.clone(), client.clone());
            async move { Ok::<_, Infallible>(server.answer(request, &client).await) }
        });
        tokio::spawn(async move {
            connection::carry(stream, service, IDLE_LIMIT, signals).await;
            open.dec();
        });
    }

    async fn answer(&self, request: Request<Incoming>, client: &Client) -> Response<ResponseBody> {
        match request.uri().path() {
            "/ping" if self.own.ping.is_some() => self.ping(),
            "/metrics" if self.own.metrics.is_some() => self.metrics(),
            _ => self.proxy.handle(request, client).await,
        }
    }

    /// Unlike Traefik's it is not healthy before the first routes are known, so that a new replica gets no request that it
    /// could only answer with 404.
    fn ping(&self) -> Response<ResponseBody> {
        let routed = self.own.ping.as_ref().is_some_and(|routed| *routed.borrow());
        match routed && !self.proxy.draining.load(Ordering::Relaxed) {
            true => Response::new(ResponseBody::text("OK")),
            false => {
                let mut response = Response::new(ResponseBody::text("Service Unavailable"));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            }
        }
    }

    fn metrics(&self) -> Response<ResponseBody> {
        let text = self.own.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default();
        let mut response = Response::new(ResponseBody::text(text));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        );
        response
    }
}

/// With a backlog for a spike of new clients, and `SO_REUSEADDR`, so that a restart need not wait for old connections.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// A draining flag that starts off.
pub fn not_draining() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}
