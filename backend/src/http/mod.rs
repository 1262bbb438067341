//! The HTTP surface: one router, one stack of middleware, one way to stop.
mod access;
mod api;
mod middleware;
mod probes;
mod problem;
mod simulations;
mod stream;

use crate::database::Database;
use crate::lifecycle::Lifecycle;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::simulations::Worker;
use anyhow::Context as _;
use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};
use axum::serve::ListenerExt as _;
use backend_api::routes::{Access, ROUTES};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

/// Only a simulation's trace is that large; what a confused client sends is cut off here.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;
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
    pub simulations: Worker,
    /// What whoever changes something must send.
    pub change_token: Option<Arc<str>>,
}

/// What serves a route of the list, by its operation's name.
fn handler(operation: &str) -> Option<MethodRouter<Application>> {
    Some(match operation {
        "health" => get(probes::health),
        "ready" => get(probes::ready),
        "metrics" => get(probes::metrics),
        "openapi" => get(api::openapi),
        "overview" => get(api::overview),
        "pools" => get(api::pools),
        "nodes" => get(api::nodes),
        "pods" => get(api::pods),
        "hpas" => get(api::hpas),
        "stacks" => get(api::stacks),
        "events" => get(api::events),
        "stream" => get(stream::stream),
        "work" => get(api::work),
        "simulations" => get(simulations::all),
        "simulation" => get(simulations::one),
        "simulate" => post(simulations::add),
        "cancelSimulation" => delete(simulations::cancel),
        _ => return None,
    })
}

/// Probes and metrics answer even when the API is overloaded: they tell the platform so.
pub fn router(application: Application) -> Router {
    let (mut probes, mut api) = (Router::new(), Router::new());
    // Nothing is served that the list does not name, and with no other access than it says.
    for route in ROUTES {
        let Some(mut handler) = handler(route.operation) else { continue };
        if route.access == Access::Change {
            handler =
                handler.route_layer(axum::middleware::from_fn_with_state(application.clone(), access::may_change));
        }
        let router = if route.path.starts_with("/api/") { &mut api } else { &mut probes };
        *router = std::mem::take(router).route(route.path, handler);
    }
    let api = api.layer(axum::middleware::from_fn_with_state(
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
