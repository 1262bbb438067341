//! Liveness, readiness, metrics.

use super::Application;
use super::problem::Refusal;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// Asks nobody else: a database that is away is no reason to restart this process.
pub async fn health() -> &'static str {
    "ok\n"
}

pub async fn ready(State(application): State<Application>) -> Result<&'static str, Refusal> {
    if application.lifecycle.is_draining() {
        return Err(Refusal::Draining);
    }
    if !application.database.is_migrated() {
        return Err(Refusal::Database);
    }
    // Once, at the start: a replica that has not read the cluster answers most of the API with 503. One that has goes on
    // showing what it read last.
    if !application.live.is_filled() {
        return Err(Refusal::ClusterUnknown);
    }
    application.database.ping().await?;
    Ok("ready\n")
}

pub async fn metrics(State(application): State<Application>) -> impl IntoResponse {
    let text = application.metrics.render(application.database.connections());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
