//! One listening socket of a Service and the connections that came in through it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::dial::Dialer;

/// Long enough for a full accept queue on a busy laptop, short enough that a client notices an endpoint that hangs.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The endpoints behind a socket, each with the number of its open connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoints: Vec<Endpoint>,
    affinity: Option<Duration>,
    /// Client → endpoint and when it was last used; only with session affinity.
    sessions: BTreeMap<IpAddr, (SocketAddrV4, Instant)>,
    /// Breaks ties between equally loaded endpoints in turn.
    turn: usize,
}

#[derive(Clone, Debug)]
struct Endpoint {
    address: SocketAddrV4,
    connections: Arc<AtomicUsize>,
}

/// Counts a connection for as long as it lives.
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// Replaces the endpoints. Connections to endpoints that are gone go on until either side closes them.
    pub(crate) fn set(&self, addresses: &[SocketAddrV4], affinity: Option<Duration>) {
        let mut state = self.state.lock();
        let known = std::mem::take(&mut state.endpoints);
        state.endpoints = addresses
            .iter()
            .map(|address| match known.iter().find(|endpoint| endpoint.address == *address) {
                Some(endpoint) => endpoint.clone(),
                None => Endpoint { address: *address, connections: Arc::default() },
            })
            .collect();
        state.affinity = affinity;
        state.sessions.retain(|_, (address, _)| addresses.contains(address));
    }

    /// The endpoint with the fewest connections that is not in `tried`, or the one this client used last.
    fn choose(&self, client: IpAddr, tried: &[SocketAddrV4], now: Instant) -> Option<(SocketAddrV4, Ticket)> {
        let mut state = self.state.lock();
        let count = state.endpoints.len();
        state.turn = state.turn.wrapping_add(1);
        let sticky = state.affinity.and_then(|timeout| {
            let (address, used) = state.sessions.get(&client)?;
            (now.duration_since(*used) < timeout && !tried.contains(address)).then_some(*address)
        });
        let turn = state.turn;
        let chosen = state
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| !tried.contains(&endpoint.address))
            .filter(|(_, endpoint)| sticky.is_none_or(|address| endpoint.address == address))
            .min_by_key(|(index, endpoint)| {
                (endpoint.connections.load(Ordering::Relaxed), (index + count - turn % count) % count)
            })
            .map(|(_, endpoint)| endpoint.clone())?;
        chosen.connections.fetch_add(1, Ordering::Relaxed);
        if state.affinity.is_some() {
            state.sessions.insert(client, (chosen.address, now));
        }
        Some((chosen.address, Ticket(chosen.connections)))
    }
}

/// Accepts until dropped. Dropping closes the listening socket, so that new connections are refused; open ones go on.
#[derive(Debug)]
pub(crate) struct PortProxy {
    pub(crate) pool: Arc<Pool>,
    accepting: JoinHandle<()>,
}

impl PortProxy {
    pub(crate) async fn bind(address: SocketAddrV4, dialer: Dialer) -> std::io::Result<PortProxy> {
        let listener = TcpListener::bind(address).await?;
        let pool = Arc::new(Pool::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&pool), dialer));
        Ok(PortProxy { pool, accepting })
    }
}

impl Drop for PortProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, pool: Arc<Pool>, dialer: Dialer) {
    loop {
        match listener.accept().await {
            Ok((client, peer)) => {
                tokio::spawn(forward(client, peer.ip(), Arc::clone(&pool), dialer.clone()));
            }
            Err(error) => {
                // Out of file descriptors: wait for connections to end instead of spinning.
                tracing::warn!(%error, "a Service could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn forward(mut client: TcpStream, peer: IpAddr, pool: Arc<Pool>, dialer: Dialer) {
    let Some((mut backend, _ticket)) = dial(peer, &pool, &dialer).await else {
        return;
    };
    // Small messages in both directions: waiting to fill a segment only adds latency on loopback.
    let _ = client.set_nodelay(true);
    let _ = backend.set_nodelay(true);
    // An error here is one side's reset, which the other side sees as the end of its connection.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
}

/// Connects to an endpoint, trying the others when one refuses. kube-proxy would hand the refusal to the client; here an
/// endpoint that has just died and is still in the slice must not cost a request.
async fn dial(client: IpAddr, pool: &Pool, dialer: &Dialer) -> Option<(TcpStream, Ticket)> {
    let mut tried = Vec::new();
    while let Some((address, ticket)) = pool.choose(client, &tried, Instant::now()) {
        match tokio::time::timeout(DIAL_TIMEOUT, dialer.connect(address)).await {
            Ok(Ok(stream)) => return Some((stream, ticket)),
            Ok(Err(_)) | Err(_) => tried.push(address),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn endpoint(last: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(127, 17, 0, last), 80)
    }

    #[test]
    fn connections_go_to_the_least_loaded_and_ties_in_turn() {
        let pool = Pool::default();
        pool.set(&[endpoint(1), endpoint(2)], None);
        let client = IpAddr::from([127, 0, 0, 1]);
        let (first, held) = pool.choose(client, &[], Instant::now()).unwrap();
        let (second, _also_held) = pool.choose(client, &[], Instant::now()).unwrap();
        assert_ne!(first, second);
        drop(held);
        assert_eq!(pool.choose(client, &[], Instant::now()).unwrap().0, first);
        assert_eq!(pool.choose(client, &[first], Instant::now()).unwrap().0, second);
        pool.set(&[endpoint(2)], None);
        assert!(pool.choose(client, &[endpoint(2)], Instant::now()).is_none());
    }

    #[test]
    fn session_affinity_keeps_a_client_on_its_endpoint_until_it_expires() {
        let pool = Pool::default();
        pool.set(&[endpoint(1), endpoint(2), endpoint(3)], Some(Duration::from_secs(60)));
        let client = IpAddr::from([127, 0, 0, 9]);
        let start = Instant::now();
        let (first, _held) = pool.choose(client, &[], start).unwrap();
        let (second, _held) = pool.choose(client, &[], start + Duration::from_secs(59)).unwrap();
        assert_eq!(first, second);
        let (third, _held) = pool.choose(client, &[], start + Duration::from_secs(200)).unwrap();
        assert_ne!(third, first);
    }

    #[tokio::test]
    async fn a_dead_endpoint_costs_no_request_and_open_connections_survive_its_removal() {
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let std::net::SocketAddr::V4(alive) = backend.local_addr().unwrap() else { unreachable!("bound to IPv4") };
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let std::net::SocketAddr::V4(dead) = unused else { unreachable!("bound to IPv4") };

        let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let std::net::SocketAddr::V4(front) = probe.local_addr().unwrap() else { unreachable!("bound to IPv4") };
        drop(probe);
        let proxy = PortProxy::bind(front, Dialer::Host).await.unwrap();
        proxy.pool.set(&[alive, dead], None);

        for _ in 0..2 {
            let mut client = TcpStream::connect(front).await.unwrap();
            let (mut served, _) = backend.accept().await.unwrap();
            proxy.pool.set(&[dead, alive], None);
            client.write_all(b"ping").await.unwrap();
            let mut bytes = [0; 4];
            served.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"ping");
        }
    }
}
