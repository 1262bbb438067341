//! The HTTP surface against a real PostgreSQL.

use crate::support::application::{DEADLINE, application, config, get, json, migrated};
use crate::support::{Postgres, ServerTls};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use backend_api::cluster::{Cluster, Overview, Pool};
use backend_api::problem::Problem;
use backend_api::routes::{Method, ROUTES, SIMULATION};
use backend_api::stream::{Change, Changes, Snapshot};
use backend_api::work::Work;
use http_body_util::BodyExt as _;
use marea_backend::http;
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

fn pools(count: u32) -> Snapshot {
    let pools = (0..count).map(|n| Pool { name: format!("pool{n}"), ..Pool::default() }).collect();
    Snapshot { cluster: Cluster { name: "marea".to_owned(), ..Cluster::default() }, pools, ..Snapshot::default() }
}

#[tokio::test]
async fn the_overview_is_made_of_the_cluster_and_of_postgresql() {
    let postgres = Postgres::start(None);
    let application = migrated(&config(postgres.port, &[])).await;
    assert_eq!(
        get(&application, "/api/v1/overview").await.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "the cluster is not read yet"
    );
    application.live.publish(pools(2));
    let first: Overview = json(get(&application, "/api/v1/overview").await).await;
    let second: Overview = json(get(&application, "/api/v1/overview").await).await;
    assert_eq!((first.cluster.name.as_str(), first.pools.len()), ("marea", 2));
    assert_eq!((first.database.visits, second.database.visits), (1, 2));
    assert!(first.database.connections >= 1 && first.database.max_connections > first.database.connections);
    assert!(first.database.version.starts_with(|c: char| c.is_ascii_digit()));
}

#[tokio::test]
async fn every_route_of_the_document_is_served() {
    let postgres = Postgres::start(None);
    let application = migrated(&config(postgres.port, &[])).await;
    application.live.publish(pools(1));
    for route in ROUTES.iter().filter(|route| route.method == Method::Get && route.path != SIMULATION) {
        assert_eq!(get(&application, route.path).await.status(), StatusCode::OK, "{}", route.path);
    }
    let missing = get(&application, "/api/v1/secrets").await;
    assert_eq!(
        (missing.status(), missing.headers()["content-type"].to_str().ok()),
        (StatusCode::NOT_FOUND, Some("application/problem+json"))
    );
    let metrics = get(&application, "/metrics").await.into_body().collect().await.expect("a body").to_bytes();
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(
        metrics.contains(r#"http_request_duration_seconds_count{route="/api/v1/work",status="200"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_and_comes_back() {
    let postgres = Postgres::start(None);
    let application = migrated(&config(postgres.port, &[])).await;
    application.live.publish(pools(1));
    assert_eq!(get(&application, "/ready").await.status(), StatusCode::OK);
    postgres.halt();
    for path in ["/ready", "/api/v1/work", "/api/v1/overview"] {
        let response = get(&application, path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(response.headers()["retry-after"], "1", "{path}");
        let problem: Problem = json(response).await;
        assert_eq!(problem.kind, "urn:marea:problem:database-away", "{path}");
    }
    assert_eq!(get(&application, "/health").await.status(), StatusCode::OK, "liveness asks nobody else");
    assert_eq!(get(&application, "/api/v1/pools").await.status(), StatusCode::OK, "the view needs no database");
    postgres.resume();
    let started = Instant::now();
    while get(&application, "/ready").await.status() != StatusCode::OK {
        assert!(started.elapsed() < DEADLINE, "the pool does not recover");
    }
}

#[tokio::test]
async fn a_replica_is_not_ready_before_its_migrations_and_before_it_has_read_the_cluster() {
    let postgres = Postgres::start(None);
    let application = application(&config(postgres.port, &[]));
    assert_eq!(ready_problem(&application).await, "urn:marea:problem:database-away");
    // Replicas start together: each must end well.
    let all = (0..4).map(|_| tokio::spawn(application.database.clone().migrate_until_done()));
    for migration in all.collect::<Vec<_>>() {
        tokio::time::timeout(DEADLINE, migration).await.expect("within the deadline").expect("no panic");
    }
    assert_eq!(ready_problem(&application).await, "urn:marea:problem:cluster-unknown", "the overview would be a 503");
    application.live.publish(pools(1));
    assert_eq!(get(&application, "/ready").await.status(), StatusCode::OK);
}

async fn ready_problem(application: &http::Application) -> String {
    let response = get(application, "/ready").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    json::<Problem>(response).await.kind
}

#[tokio::test]
async fn work_is_bounded_and_the_same_for_the_same_units() {
    let postgres = Postgres::start(None);
    let application = migrated(&config(postgres.port, &[])).await;
    let work: Work = json(get(&application, "/api/v1/work?units=2").await).await;
    let again: Work = json(get(&application, "/api/v1/work?units=2").await).await;
    assert_eq!(work, again);
    let large: Work = json(get(&application, "/api/v1/work?units=25").await).await;
    assert_eq!((large.units, large.pod.as_str()), (25, "backend-test"));
    for query in ["units=1001", "units=-1", "units=x", "unit=1"] {
        let response = get(&application, &format!("/api/v1/work?{query}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let problem: Problem = json(response).await;
        assert_eq!(problem.kind, "urn:marea:problem:bad-query");
    }
}

/// One server-sent event: its name, id and data.
async fn next_event(body: &mut Body) -> (String, String, String) {
    let frame = tokio::time::timeout(DEADLINE, body.frame())
        .await
        .expect("an event within the deadline")
        .expect("an open stream")
        .expect("no error");
    let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    (field("event:"), field("id:"), field("data:"))
}

#[tokio::test]
async fn the_stream_is_a_snapshot_and_then_changes() {
    let application = application(&config(1, &[]));
    application.live.publish(pools(1));
    let mut body = get(&application, "/api/v1/stream").await.into_body();
    let (name, id, data) = next_event(&mut body).await;
    let snapshot: Snapshot = serde_json::from_str(&data).expect("a snapshot");
    assert_eq!((name.as_str(), snapshot.pools.len()), ("snapshot", 1));

    application.live.publish(pools(2));
    let (name, _, data) = next_event(&mut body).await;
    let changes: Changes = serde_json::from_str(&data).expect("changes");
    assert_eq!(name, "changes");
    assert!(matches!(&changes.changes[..], [Change::Pool { key, value: Some(_) }] if key == "pool1"), "{changes:?}");

    let request = Request::get("/api/v1/stream").header("last-event-id", id).body(Body::empty()).expect("a request");
    let mut resumed = http::router(application.clone()).oneshot(request).await.expect("an answer").into_body();
    assert_eq!(next_event(&mut resumed).await.0, "changes", "a known id continues where it was");

    application.lifecycle.drain();
    let end = tokio::time::timeout(DEADLINE, body.frame()).await.expect("the stream ends when draining begins");
    assert!(end.is_none());
}

#[tokio::test]
async fn draining_serves_on_until_the_end_and_closes_connections() {
    let application = application(&config(1, &[]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    application.lifecycle.drain();
    let serving = tokio::spawn(http::serve(listener, application, Duration::from_millis(300)));
    let answer = raw_get(address, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert!(raw_get(address, "/ready").await.starts_with("HTTP/1.1 503"));
    tokio::time::timeout(DEADLINE, serving).await.expect("stops after the drain").expect("no panic").expect("no error");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the listener is closed");
}

async fn raw_get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("still accepting");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer and the end");
    answer
}

#[tokio::test]
async fn tls_is_verified_against_the_name_while_the_address_is_dialled() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = rcgen::generate_simple_self_signed(["marea-db.private.test".to_owned()]).expect("a certificate");
    let tls = ServerTls { certificate: server.cert.pem(), key: server.signing_key.serialize_pem() };
    let postgres = Postgres::start(Some(&tls));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, &tls.certificate).expect("written");
    let root = format!("--pg-ssl-root-cert={}", trusted.display());
    let with_name = |name: &str| {
        config(
            postgres.port,
            &[&format!("--pg-host={name}"), "--pg-host-address=127.0.0.1", "--pg-ssl-mode=verify-full", &root],
        )
    };

    let right = migrated(&with_name("marea-db.private.test")).await;
    assert!(right.database.ping().await.is_ok());
    let wrong = application(&with_name("another.private.test"));
    assert!(wrong.database.ping().await.is_err(), "a certificate of another name was accepted");
}
