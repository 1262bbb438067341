//! The HTTP surface: one router, one stack of middleware, one way to stop.
mod api;
mod middleware;
mod probes;
mod problem;
mod stream;

use crate::database::Database;
use crate::lifecycle::Lifecycle;
use crate::live::Live;
use crate::metrics::Metrics;
use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use axum::{Router, routing::get};
use backend_api::routes;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

/// No route takes a body; what a confused client sends is cut off here.
const BODY_LIMIT_BYTES: usize = 64 * 1024;
/// After the drain, what is still in flight has this long.
const IN_FLIGHT_GRACE: Duration = Duration::from_secs(15);

/// What the handlers share.
#[derive(Clone)]
pub struct Application {
    pub database: Database,
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub lifecycle: Lifecycle,
    pub pod: Arc<str>,
}

/// Probes and metrics answer even when the API is overloaded: they tell the platform so.
pub fn router(application: Application) -> Router {
    let probes = Router::new()
        .route(routes::HEALTH, get(probes::health))
        .route(routes::READY, get(probes::ready))
        .route(routes::METRICS, get(probes::metrics));
    let api = Router::new()
        .route(routes::OPENAPI, get(api::openapi))
        .route(routes::OVERVIEW, get(api::overview))
        .route(routes::POOLS, get(api::pools))
        .route(routes::NODES, get(api::nodes))
        .route(routes::PODS, get(api::pods))
        .route(routes::HPAS, get(api::hpas))
        .route(routes::STACKS, get(api::stacks))
        .route(routes::EVENTS, get(api::events))
        .route(routes::STREAM, get(stream::stream))
        .route(routes::WORK, get(api::work))
        .layer(axum::middleware::from_fn_with_state(
            Arc::new(middleware::Admission::new(application.metrics.clone())),
            middleware::admit,
        ));
    probes
        .merge(api)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT_BYTES))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(axum::middleware::from_fn_with_state(application.clone(), middleware::observe))
        .with_state(application)
}

/// Serves until draining has begun and `drain` has passed, then finishes what is in flight.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, application: Application, drain: Duration) -> anyhow::Result<()> {
    let lifecycle = application.lifecycle.clone();
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
    });
    let closing = lifecycle.clone();
    let serving = axum::serve(listener, router(application)).with_graceful_shutdown(async move {
        closing.drained().await;
        // New connections keep coming until every load balancer has seen that this replica is not ready.
        tokio::time::sleep(drain).await;
    });
    tokio::select! {
        result = serving => result.context("serving failed"),
        () = async { lifecycle.drained().await; tokio::time::sleep(drain + IN_FLIGHT_GRACE).await } => {
            tracing::warn!("requests still in flight are given up");
            Ok(())
        }
    }
}
