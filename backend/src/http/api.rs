//! The API's plain routes.

use super::Application;
use super::problem::Refusal;
use crate::work::{MAX_UNITS_INLINE, compute};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use backend_api::cluster::{Event, Node, Overview, Pod, Pool};
use backend_api::hpa::Hpa;
use backend_api::stacks::StackRecord;
use backend_api::stream::Snapshot;
use backend_api::work::{DEFAULT_UNITS, MAX_UNITS, Work, WorkQuery};
use std::sync::{Arc, LazyLock};

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| backend_api::openapi::document().to_json().expect("a document of plain data"));

pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

fn view(application: &Application) -> Result<Arc<Snapshot>, Refusal> {
    if application.live.is_filled() { Ok(application.live.current()) } else { Err(Refusal::ClusterUnknown) }
}

pub async fn overview(State(application): State<Application>) -> Result<Json<Overview>, Refusal> {
    let view = view(&application)?;
    let database = application.database.visit(&application.pod).await?;
    Ok(Json(Overview { cluster: view.cluster.clone(), pools: view.pools.clone(), hpas: view.hpas.clone(), database }))
}

pub async fn pools(State(application): State<Application>) -> Result<Json<Vec<Pool>>, Refusal> {
    Ok(Json(view(&application)?.pools.clone()))
}

pub async fn nodes(State(application): State<Application>) -> Result<Json<Vec<Node>>, Refusal> {
    Ok(Json(view(&application)?.nodes.clone()))
}

pub async fn pods(State(application): State<Application>) -> Result<Json<Vec<Pod>>, Refusal> {
    Ok(Json(view(&application)?.pods.clone()))
}

pub async fn hpas(State(application): State<Application>) -> Result<Json<Vec<Hpa>>, Refusal> {
    Ok(Json(view(&application)?.hpas.clone()))
}

pub async fn stacks(State(application): State<Application>) -> Result<Json<Vec<StackRecord>>, Refusal> {
    Ok(Json(view(&application)?.stacks.clone()))
}

pub async fn events(State(application): State<Application>) -> Result<Json<Vec<Event>>, Refusal> {
    Ok(Json(view(&application)?.events.clone()))
}

pub async fn work(
    State(application): State<Application>,
    query: Result<Query<WorkQuery>, QueryRejection>,
) -> Result<Json<Work>, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::BadQuery(rejection.body_text()))?;
    let units = query.units.unwrap_or(DEFAULT_UNITS);
    if units > MAX_UNITS {
        return Err(Refusal::BadQuery(format!("units is {units}; at most {MAX_UNITS} are allowed")));
    }
    let checksum = if units <= MAX_UNITS_INLINE {
        compute(units)
    } else {
        // A join error means that the runtime is shutting down.
        tokio::task::spawn_blocking(move || compute(units)).await.map_err(|_| Refusal::Draining)?
    };
    let visits = application.database.visits().await?;
    Ok(Json(Work { units, checksum: format!("{checksum:016x}"), visits, pod: application.pod.to_string() }))
}
