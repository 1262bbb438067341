//! Simulations over HTTP.

use super::Application;
use super::problem::Refusal;
use crate::simulations::{Deployed, check};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use backend_api::simulations::{NewSimulation, Simulation, SimulationDetail};
use std::sync::Arc;

pub async fn all(State(application): State<Application>) -> Result<Json<Vec<Simulation>>, Refusal> {
    Ok(Json(application.simulations.store.all().await?))
}

pub async fn one(
    State(application): State<Application>,
    Path(id): Path<String>,
) -> Result<Json<SimulationDetail>, Refusal> {
    application.simulations.store.detail(&id).await?.map(Json).ok_or(Refusal::NoSimulation)
}

/// Refuses what cannot be simulated before there is a job.
pub async fn add(
    State(application): State<Application>,
    request: Result<Json<NewSimulation>, JsonRejection>,
) -> Result<(StatusCode, Json<Simulation>), Refusal> {
    let Json(request) = request.map_err(|rejection| match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Refusal::BadSimulation("the content type must be application/json".to_owned())
        }
        other => Refusal::BadSimulation(other.body_text()),
    })?;
    let deployed: Arc<Deployed> = application.simulations.deployed().ok_or(Refusal::PlatformUnknown)?;
    // Reading a long trace takes a while of CPU.
    let request = tokio::task::spawn_blocking(move || check(&request, &deployed).map(|_| request))
        .await
        .map_err(|_| Refusal::Draining)?
        .map_err(|invalid| Refusal::BadSimulation(invalid.0))?;
    let added = application.simulations.store.add(&request).await?.ok_or(Refusal::TooManySimulations)?;
    application.simulations.wake();
    Ok((StatusCode::ACCEPTED, Json(added)))
}

/// Tells what it was before.
pub async fn cancel(
    State(application): State<Application>,
    Path(id): Path<String>,
) -> Result<Json<Simulation>, Refusal> {
    application.simulations.store.cancel(&id).await?.map(Json).ok_or(Refusal::NoSimulation)
}
