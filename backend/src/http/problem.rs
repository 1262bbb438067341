//! Errors as `application/problem+json`. Details are written here and never taken from a source error, which may hold
//! an address, a query or a secret; the source goes to the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use backend_api::problem::{CONTENT_TYPE, Problem};

const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

#[derive(Debug)]
pub enum Refusal {
    BadQuery(String),
    Database,
    ClusterUnknown,
    Overloaded,
    TooSlow,
    Draining,
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Refusal {
        tracing::warn!(%error, "PostgreSQL did not answer");
        Refusal::Database
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::BadQuery(detail) => {
                problem(StatusCode::BAD_REQUEST, "bad-query", "The query is not valid", detail)
            }
            Refusal::Database => away(
                "database-away",
                "PostgreSQL does not answer",
                "The connection is tried again with the next request.",
            ),
            Refusal::ClusterUnknown => away(
                "cluster-unknown",
                "The cluster has not been read yet",
                "The Kubernetes API has not answered this replica so far.",
            ),
            Refusal::Overloaded => {
                away("overloaded", "Too many requests wait", "This replica has as much to do as it can.")
            }
            Refusal::TooSlow => away("too-slow", "The answer took too long", "The request was given up."),
            Refusal::Draining => away("draining", "This replica is leaving", "Another replica will answer."),
        }
    }
}

fn away(name: &str, title: &str, detail: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, name, title, detail.to_owned());
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

fn problem(status: StatusCode, name: &str, title: &str, detail: String) -> Response {
    let body =
        Problem { kind: format!("urn:marea:problem:{name}"), title: title.to_owned(), status: status.as_u16(), detail };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

pub async fn not_found(uri: Uri) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "not-found",
        "No such route",
        format!("{} is not served; see {}.", uri.path(), backend_api::routes::OPENAPI),
    )
}

pub async fn method_not_allowed(uri: Uri) -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Only GET is served",
        format!("{} is read-only.", uri.path()),
    )
}

pub fn from_panic(_: Box<dyn std::any::Any + Send>) -> Response {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "bug",
        "An error in the backend",
        "The request failed; the log has the details.".to_owned(),
    )
}
