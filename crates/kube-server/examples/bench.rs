//! Create, list and watch against an API server, ours or the genuine one, with as little work on this side as possible.
//!
//!     bench <address> <folder with ca.pem, admin.pem and admin.key> <pods>
//!
//! Prints one JSON object: creates and watch events a second (16 connections, one watcher), listed objects a second
//! (whole lists, 4 connections), and the median and 99th percentile of a create in milliseconds.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const WRITERS: usize = 16;
const LISTERS: usize = 4;
const LISTS: usize = 20;
const WATCH_LIMIT: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct Target {
    address: String,
    tls: TlsConnector,
}

impl Target {
    fn new(address: &str, folder: &Path) -> Result<Target, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
        let chain = vec![CertificateDer::from_pem_file(folder.join("admin.pem"))?];
        let key = PrivateKeyDer::from_pem_file(folder.join("admin.key"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Target { address: address.to_owned(), tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The request that it was for fails as well.
            let _ = connection.await;
        });
        Ok(Connection(sender))
    }
}

struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn send(&mut self, method: &str, path: &str, body: Bytes) -> Result<hyper::Response<Incoming>, Failure> {
        self.0.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        Ok(self.0.send_request(request).await?)
    }

    /// Reads the answer to its end and returns its size.
    async fn whole(&mut self, method: &str, path: &str, body: Bytes) -> Result<usize, Failure> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if !status.is_success() && status != hyper::StatusCode::CONFLICT {
            return Err(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&bytes)).into());
        }
        Ok(bytes.len())
    }
}

fn pod(number: usize) -> Bytes {
    let env: Vec<_> = (0..8).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value-{n}")})).collect();
    let probe = json!({"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 5});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "labels": {"app": "bench", "number": number.to_string()}},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "registry.example/app:1", "env": env,
            "ports": [{"containerPort": 8080}], "readinessProbe": probe, "livenessProbe": probe,
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}}]}});
    pod.to_string().into()
}

const PODS: &str = "/api/v1/namespaces/bench/pods";

async fn prepare(target: &Target) -> Result<(), Failure> {
    let mut connection = target.connect().await?;
    let namespace = json!({"metadata": {"name": "bench"}}).to_string();
    connection.whole("POST", "/api/v1/namespaces", namespace.into()).await?;
    // Where no controller makes it.
    let account = json!({"metadata": {"name": "default"}}).to_string();
    connection.whole("POST", "/api/v1/namespaces/bench/serviceaccounts", account.into()).await?;
    Ok(())
}

/// Counts lines, which are events.
async fn watch(target: Target, seen: Arc<AtomicUsize>) -> Result<(), Failure> {
    let mut connection = target.connect().await?;
    let mut body = connection.send("GET", &format!("{PODS}?watch=true"), Bytes::new()).await?.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            seen.fetch_add(data.iter().filter(|byte| **byte == b'\n').count(), Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn create(target: &Target, count: usize) -> Result<Vec<Duration>, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (target, next) = (target.clone(), next.clone());
            tokio::spawn(async move {
                let (mut connection, mut took) = (target.connect().await?, Vec::new());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok::<_, Failure>(took);
                    }
                    let started = Instant::now();
                    connection.whole("POST", PODS, pod(number)).await?;
                    took.push(started.elapsed());
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await??);
    }
    all.sort();
    Ok(all)
}

async fn list(target: &Target) -> Result<usize, Failure> {
    let listers: Vec<_> = (0..LISTERS)
        .map(|_| {
            let target = target.clone();
            tokio::spawn(async move {
                let (mut connection, mut bytes) = (target.connect().await?, 0);
                for _ in 0..LISTS {
                    bytes += connection.whole("GET", PODS, Bytes::new()).await?;
                }
                Ok::<_, Failure>(bytes)
            })
        })
        .collect();
    let mut bytes = 0;
    for lister in listers {
        bytes += lister.await??;
    }
    Ok(bytes)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, count] = arguments.as_slice() else {
        return Err("usage: bench <address> <folder with ca.pem, admin.pem and admin.key> <pods>".into());
    };
    let (target, count) = (Target::new(address, Path::new(folder))?, count.parse::<usize>()?);
    prepare(&target).await?;
    let seen = Arc::new(AtomicUsize::new(0));
    let watcher = tokio::spawn(watch(target.clone(), seen.clone()));
    let started = Instant::now();
    let took = create(&target, count).await?;
    let created = started.elapsed();
    while seen.load(Ordering::Relaxed) < count {
        if started.elapsed() > created + WATCH_LIMIT {
            return Err(format!("the watcher saw {} of {count} pods", seen.load(Ordering::Relaxed)).into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let watched = started.elapsed();
    watcher.abort();
    let started = Instant::now();
    let bytes = list(&target).await?;
    let listed = started.elapsed();
    let rate = |count: usize, time: Duration| (count as f64 / time.as_secs_f64()).round();
    let milliseconds = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    let report = json!({"pods": count, "creates_per_second": rate(count, created), "watch_events_per_second": rate(count, watched),
        "listed_per_second": rate(count * LISTERS * LISTS, listed), "listed_mebibytes_per_second": rate(bytes >> 20, listed),
        "create_ms_p50": milliseconds(50), "create_ms_p99": milliseconds(99)});
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
