//! The application as `main` makes it, without a listener and without a cluster.

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use clap::Parser as _;
use http_body_util::BodyExt as _;
use marea_backend::simulations::{Store, Worker};
use marea_backend::{config::Config, database::Database, http, lifecycle::Lifecycle, live::Live, metrics::Metrics};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

pub const DEADLINE: Duration = Duration::from_secs(30);

pub fn config(port: u16, more: &[&str]) -> Config {
    let port = port.to_string();
    let mut arguments = vec!["marea-backend", "--pg-host=127.0.0.1", "--pg-database=postgres", "--pg-port", &port];
    if !more.iter().any(|argument| argument.starts_with("--pg-ssl-mode")) {
        arguments.push("--pg-ssl-mode=disable");
    }
    arguments.retain(|argument| {
        !(*argument == "--pg-host=127.0.0.1" && more.iter().any(|other| other.starts_with("--pg-host=")))
    });
    arguments.extend(more);
    Config::parse_from(arguments)
}

pub fn application(config: &Config) -> http::Application {
    let database = Database::connect_lazily(&config.database).expect("a pool");
    http::Application {
        simulations: Worker::new(Store::new(database.pool())),
        change_token: config.change_token.clone().map(Into::into),
        database,
        live: Arc::new(Live::new("test")),
        metrics: Arc::new(Metrics::new()),
        lifecycle: Lifecycle::new(),
        pod: "backend-test".into(),
    }
}

pub async fn migrated(config: &Config) -> http::Application {
    let application = application(config);
    tokio::time::timeout(DEADLINE, application.database.clone().migrate_until_done())
        .await
        .expect("migrations within the deadline");
    application
}

pub async fn get(application: &http::Application, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).expect("a valid request");
    http::router(application.clone()).oneshot(request).await.expect("routers do not fail")
}

pub async fn json<T: serde::de::DeserializeOwned>(response: Response) -> T {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
}
