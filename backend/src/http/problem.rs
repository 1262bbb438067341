//! Errors as `application/problem+json`. Details are written here and never taken from a source error, which may hold
//! an address, a query or a secret; the source goes to the log.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
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
    Unauthorised,
    BadSimulation(String),
    NoSimulation,
    TooManySimulations,
    /// Nothing was recorded that could be simulated.
    PlatformUnknown,
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
            Refusal::Unauthorised => unauthorised(),
            Refusal::BadSimulation(detail) => {
                problem(StatusCode::BAD_REQUEST, "bad-simulation", "The simulation makes no sense", detail)
            }
            Refusal::NoSimulation => problem(
                StatusCode::NOT_FOUND,
                "no-simulation",
                "There is no such simulation",
                "It may have been forgotten: only the newest that ended are kept.".to_owned(),
            ),
            Refusal::TooManySimulations => problem(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-simulations",
                "Too many simulations wait",
                "Cancel one, or wait until one has ended.".to_owned(),
            ),
            Refusal::PlatformUnknown => away(
                "platform-unknown",
                "It is not known what is deployed",
                "`marea up` records it when it changes something.",
            ),
        }
    }
}

fn unauthorised() -> Response {
    let mut response = problem(
        StatusCode::UNAUTHORIZED,
        "unauthorised",
        "A token is needed",
        "Send the backend's CHANGE_TOKEN as a bearer token.".to_owned(),
    );
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
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

pub async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The method is not served here",
        format!("{} does not serve {method}; see {}.", uri.path(), backend_api::routes::OPENAPI),
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
