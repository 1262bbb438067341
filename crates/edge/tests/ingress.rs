//! The ingress between real clients and real pods on loopback addresses, without a cluster.

use bytes::Bytes;
use edge::ingress::entrypoint::{Own, Server, not_draining};
use edge::ingress::flags::EntryPoint;
use edge::ingress::metrics::Metrics;
use edge::ingress::proxy::Proxy;
use edge::ingress::rules::{HostMatch, PathKind, Rule};
use edge::ingress::service::Routing;
use edge::ingress::table::{Route, Table};
use edge::ingress::timers::Timers;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(30);

struct Ingress {
    address: SocketAddr,
    routing: Arc<Routing>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn timers() -> Timers {
    Timers::of(tokio::runtime::Handle::current())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address")
}

/// Everything goes to one service with these endpoints.
fn table(endpoints: &[SocketAddr]) -> Table {
    let rule = Rule { host: HostMatch::Any, path: Some((PathKind::Prefix, "/".to_owned())), priority: None };
    let route = Route { rule, entry_points: Vec::new(), service: "platform-backend-80".to_owned() };
    Table {
        routes: vec![route],
        services: [("platform-backend-80".to_owned(), endpoints.to_vec())].into(),
        problems: Vec::new(),
    }
}

impl Ingress {
    async fn start(endpoints: &[SocketAddr], accept_grace: Duration) -> Ingress {
        let address = free_address().await;
        let (routing, metrics) = (Arc::new(Routing::new(timers())), Arc::new(Metrics::default()));
        routing.apply(&table(endpoints));
        let proxy = Proxy {
            routing: routing.clone(),
            metrics: metrics.clone(),
            entry_point: "web".into(),
            local_port: address.port(),
            draining: not_draining(),
        };
        let own = Own { metrics: Some(metrics.clone()), ping: Some(watch::channel(true).1) };
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(
            Server { proxy, own, settings: EntryPoint { address, accept_grace, grace: Duration::from_secs(5) } }
                .run(stopping),
        );
        let connected = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, connected).await.expect("the entry point listens");
        Ingress { address, routing, metrics, stop, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A pod that answers with its name and echoes bodies; stopped, it finishes open requests, closes idle connections and
/// accepts no more, as a well-behaved pod does.
struct Pod {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl Pod {
    async fn start() -> Pod {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(AtomicUsize::new(0));
        let (stop, mut stopping) = watch::channel(false);
        let counter = served.clone();
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.expect("a connection").0,
                    _ = stopping.wait_for(|stop| *stop) => return,
                };
                tokio::spawn(serve(stream, counter.clone(), stopping.clone()));
            }
        });
        Pod { address, served, stop }
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

async fn serve(stream: TcpStream, served: Arc<AtomicUsize>, mut stopping: watch::Receiver<bool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let served = served.clone();
        async move {
            let forwarded = request.headers().get("x-forwarded-for").cloned();
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            served.fetch_add(1, Ordering::Relaxed);
            let mut response = Response::new(Full::new(body));
            if let Some(forwarded) = forwarded {
                response.headers_mut().insert("seen-client", forwarded);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection =
        std::pin::pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        _ = stopping.wait_for(|stop| *stop) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

type TestClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> TestClient {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn send(client: &TestClient, method: &str, url: &str, body: &'static str) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .expect("a request");
    let response =
        tokio::time::timeout(DEADLINE, client.request(request)).await.expect("an answer in time").expect("an answer");
    (response.status(), response.into_body().collect().await.expect("a body").to_bytes())
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// The pod is gone before the table says so: a crash, or no preStop hook.
    PodFirst,
    /// The table drops the pod, requests go on, and then the pod ends: how a deployment with a preStop hook rolls.
    TableFirst,
}

/// Twelve pods come and go under eight clients, of which every one must get every answer.
async fn roll(methods: [&'static str; 2], order: Order) {
    let mut pods = vec![Pod::start().await, Pod::start().await];
    let addresses = |pods: &[Pod]| pods.iter().map(|pod| pod.address).collect::<Vec<_>>();
    let ingress = Ingress::start(&addresses(&pods), Duration::ZERO).await;
    let (running, sent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let (running, sent, url) = (running.clone(), sent.clone(), ingress.url("/api"));
            tokio::spawn(async move {
                let client = client();
                while running.load(Ordering::Relaxed) {
                    let (status, body) = send(&client, methods[n % 2], &url, "tide").await;
                    assert_eq!((status, &body[..]), (StatusCode::OK, &b"tide"[..]));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more_requests = || {
        let (sent, clients, before) = (&sent, &clients, sent.load(Ordering::Relaxed));
        async move {
            while sent.load(Ordering::Relaxed) < before + 200 && !clients.iter().any(|client| client.is_finished()) {
                tokio::task::yield_now().await;
            }
        }
    };
    for _ in 0..12 {
        pods.push(Pod::start().await);
        ingress.routing.apply(&table(&addresses(&pods)));
        let gone = pods.remove(0);
        if order == Order::PodFirst {
            gone.stop();
        }
        more_requests().await;
        ingress.routing.apply(&table(&addresses(&pods)));
        more_requests().await;
        gone.stop();
    }
    running.store(false, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request is answered");
    }
    let metrics = ingress.metrics.render();
    assert!(!metrics.contains(r#"code="50"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_idempotent_request_fails_when_pods_vanish() {
    roll(["GET", "PUT"], Order::PodFirst).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_deployment_rolls() {
    roll(["GET", "POST"], Order::TableFirst).await;
}

#[tokio::test]
async fn requests_go_round_robin_and_say_who_asked() {
    let pods = [Pod::start().await, Pod::start().await, Pod::start().await];
    let ingress = Ingress::start(&pods.each_ref().map(|pod| pod.address), Duration::ZERO).await;
    let client = client();
    for _ in 0..9 {
        assert_eq!(send(&client, "GET", &ingress.url("/"), "").await.0, StatusCode::OK);
    }
    assert_eq!(pods.each_ref().map(|pod| pod.served.load(Ordering::Relaxed)), [3, 3, 3]);
    let request =
        Request::get(ingress.url("/")).header("x-forwarded-for", "9.9.9.9").body(Full::default()).expect("a request");
    assert_eq!(client.request(request).await.expect("an answer").headers()["seen-client"], "127.0.0.1");
}

#[tokio::test]
async fn without_an_endpoint_it_is_503_and_without_a_route_404() {
    let ingress = Ingress::start(&[], Duration::ZERO).await;
    assert_eq!(
        send(&client(), "GET", &ingress.url("/x"), "").await,
        (StatusCode::SERVICE_UNAVAILABLE, "no available server\n".into())
    );
    ingress.routing.apply(&Table::default());
    assert_eq!(
        send(&client(), "GET", &ingress.url("/x"), "").await,
        (StatusCode::NOT_FOUND, "404 page not found\n".into())
    );
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let pod = Pod::start().await;
    let ingress = Ingress::start(&[free_address().await, pod.address], Duration::ZERO).await;
    for method in ["GET", "POST", "GET", "POST"] {
        assert_eq!(send(&client(), method, &ingress.url("/"), "x").await.0, StatusCode::OK);
    }
    assert!(ingress.metrics.render().contains("traefik_service_retries_total"), "a retry is counted");
}

/// A pod that closes every connection after one answer without saying so beforehand.
async fn rude_pod() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0_u8; 4096];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nothing() {
    let ingress = Ingress::start(&[rude_pod().await], Duration::ZERO).await;
    let client = client();
    for n in 0..50 {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        assert_eq!(send(&client, method, &ingress.url("/"), "x").await, (StatusCode::OK, "ok".into()));
    }
}

/// A pod that takes a request and breaks off.
async fn breaking_pod(taken: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                taken.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    address
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_sent_twice() {
    let (taken, pod) = (Arc::new(AtomicUsize::new(0)), Pod::start().await);
    let breaking = breaking_pod(taken.clone()).await;
    let ingress = Ingress::start(&[breaking], Duration::ZERO).await;
    assert_eq!(send(&client(), "POST", &ingress.url("/"), "x").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    assert_eq!(send(&client(), "GET", &ingress.url("/"), "").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(taken.load(Ordering::Relaxed), 6, "an idempotent request is given up after five pods");
    ingress.routing.apply(&table(&[breaking, pod.address]));
    for _ in 0..4 {
        assert_eq!(
            send(&client(), "PUT", &ingress.url("/"), "x").await,
            (StatusCode::OK, "x".into()),
            "idempotent requests find another pod"
        );
    }
}

/// A pod that sends one event, waits to be told, and sends another.
async fn streaming_pod(go: Arc<tokio::sync::Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0_u8; 4096];
        assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata:1\n\r\n").await.expect("sent");
        go.notified().await;
        stream.write_all(b"7\r\ndata:2\n\r\n0\r\n\r\n").await.expect("sent");
    });
    address
}

#[tokio::test]
async fn events_pass_as_they_come() {
    let go = Arc::new(tokio::sync::Notify::new());
    let ingress = Ingress::start(&[streaming_pod(go.clone()).await], Duration::ZERO).await;
    let response = client().get(ingress.url("/api/v1/stream").parse().expect("a URL")).await.expect("an answer");
    let mut body = response.into_body();
    let first = tokio::time::timeout(DEADLINE, body.frame())
        .await
        .expect("the first event comes alone")
        .expect("a frame")
        .expect("no error");
    assert_eq!(first.into_data().expect("data"), "data:1\n");
    go.notify_one();
    let second = tokio::time::timeout(DEADLINE, body.frame())
        .await
        .expect("the second event")
        .expect("a frame")
        .expect("no error");
    assert_eq!(second.into_data().expect("data"), "data:2\n");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let pod = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0_u8; 4096];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(String::from_utf8_lossy(&request[..read]).to_ascii_lowercase().contains("upgrade: websocket"));
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await
            .expect("sent");
        let mut word = [0_u8; 4];
        stream.read_exact(&mut word).await.expect("a word");
        word.reverse();
        stream.write_all(&word).await.expect("sent");
    });
    let ingress = Ingress::start(&[pod], Duration::ZERO).await;
    let mut stream = TcpStream::connect(ingress.address).await.expect("a connection");
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nhost: t\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .expect("sent");
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream.write_all(b"edit").await.expect("sent");
    let mut answer = [0_u8; 4];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("in time").expect("the answer");
    assert_eq!(&answer, b"tide");
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the head"));
    }
    String::from_utf8(head).expect("a head of ASCII")
}

/// A pod that answers before it has read the body, and then waits for the rest of it; it sends on the heads that it gets.
async fn hasty_pod(heads: tokio::sync::mpsc::UnboundedSender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                heads.send(read_head(&mut stream).await).expect("the test listens");
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("sent");
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_with_an_upload_on_it_takes_no_other_request() {
    let (heads, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let ingress = Ingress::start(&[hasty_pod(heads).await], Duration::ZERO).await;
    let mut upload = TcpStream::connect(ingress.address).await.expect("a connection");
    upload.write_all(b"PUT /a HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\nabc").await.expect("sent");
    let head = tokio::time::timeout(DEADLINE, read_head(&mut upload)).await.expect("the pod's early answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // The upload goes on, or could: nobody has closed it.
    assert_eq!(send(&client(), "GET", &ingress.url("/b"), "").await, (StatusCode::OK, "ok".into()));
    let seen = (seen.recv().await.expect("the upload"), seen.recv().await.expect("the other"));
    assert!(
        seen.0.starts_with("PUT /a") && seen.1.starts_with("GET /b"),
        "each over a connection of its own: {seen:?}"
    );
}

#[tokio::test]
async fn the_host_of_an_absolute_target_counts() {
    let (heads, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let ingress = Ingress::start(&[hasty_pod(heads).await], Duration::ZERO).await;
    let mut stream = TcpStream::connect(ingress.address).await.expect("a connection");
    stream.write_all(b"GET http://me:secret@a.test:81/x?y HTTP/1.1\r\nhost: b.test\r\n\r\n").await.expect("sent");
    assert!(
        tokio::time::timeout(DEADLINE, read_head(&mut stream)).await.expect("an answer").starts_with("HTTP/1.1 200")
    );
    let head = seen.recv().await.expect("the request").to_ascii_lowercase();
    assert!(head.starts_with("get /x?y http/1.1"), "{head}");
    let lines: Vec<&str> = head.lines().filter(|line| line.contains("host") || line.contains("port")).collect();
    assert_eq!(lines, ["host: a.test:81", "x-forwarded-host: a.test:81", "x-forwarded-port: 81"]);
}

#[tokio::test]
async fn draining_keeps_serving_and_then_ends() {
    let pod = Pod::start().await;
    let ingress = Ingress::start(&[pod.address], Duration::from_millis(400)).await;
    assert_eq!(send(&client(), "GET", &ingress.url("/ping"), "").await, (StatusCode::OK, "OK".into()));
    ingress.stop.send_replace(true);
    let not_ready = async { while send(&client(), "GET", &ingress.url("/ping"), "").await.0 == StatusCode::OK {} };
    tokio::time::timeout(DEADLINE, not_ready).await.expect("ping says no while draining");
    let response = client().get(ingress.url("/").parse().expect("a URL")).await.expect("still served");
    assert_eq!((response.status(), response.headers()["connection"].to_str().ok()), (StatusCode::OK, Some("close")));
    tokio::time::timeout(DEADLINE, ingress.task).await.expect("it ends").expect("no panic").expect("no error");
    assert!(TcpStream::connect(ingress.address).await.is_err());
}
