//! Who may use what: every route of the list, with every kind of caller.

use crate::support::Postgres;
use crate::support::application::{application, config, migrated};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use backend_api::routes::{Access, Method, ROUTES, Route};
use marea_backend::http;
use tower::ServiceExt as _;

const TOKEN: &str = "a-token-of-sixteen-characters";

/// What a caller sends, and whether it may change something where a token is configured.
const CALLERS: [(&str, Option<&str>, bool); 4] = [
    ("nobody", None, false),
    ("a wrong token", Some("Bearer a-token-of-sixteen-characterz"), false),
    ("the token under another scheme", Some("Basic a-token-of-sixteen-characters"), false),
    ("the token", Some("Bearer a-token-of-sixteen-characters"), true),
];

async fn status(application: &http::Application, method: &str, path: &str, authorization: Option<&str>) -> StatusCode {
    let mut request = Request::builder().method(method).uri(path.replace("{id}", "none"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    http::router(application.clone()).oneshot(request).await.expect("routers do not fail").status()
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    }
}

/// Not refused for who asks: an answer, or a refusal of what was asked. There is no simulation `none`.
fn let_through(status: StatusCode, path: &str) -> bool {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => false,
        StatusCode::NOT_FOUND => path.contains("{id}"),
        _ => true,
    }
}

#[tokio::test]
async fn every_route_admits_whom_its_row_says() {
    let postgres = Postgres::start(None);
    let closed = migrated(&config(postgres.port, &["--change-token", TOKEN])).await;
    let open = migrated(&config(postgres.port, &[])).await;
    for Route { method, path, access, .. } in ROUTES {
        for (caller, authorization, knows) in CALLERS {
            let admitted = *access == Access::Anybody || knows;
            let status_closed = status(&closed, name(*method), path, authorization).await;
            assert_eq!(
                let_through(status_closed, path),
                admitted,
                "{} {path} by {caller}: {status_closed}",
                name(*method)
            );
            let status_open = status(&open, name(*method), path, authorization).await;
            assert!(
                let_through(status_open, path),
                "{} {path} by {caller} without a configured token: {status_open}",
                name(*method)
            );
        }
    }
}

#[tokio::test]
async fn whatever_is_no_get_needs_the_right_to_change() {
    for route in ROUTES {
        let expected = if route.method == Method::Get { Access::Anybody } else { Access::Change };
        assert_eq!(route.access, expected, "{} {}", name(route.method), route.path);
    }
}

#[tokio::test]
async fn nothing_else_is_served() {
    let application = application(&config(1, &[]));
    for path in ROUTES.iter().map(|route| route.path) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS", "TRACE"] {
            if ROUTES.iter().any(|route| route.path == path && name(route.method) == method) {
                continue;
            }
            let found = status(&application, method, path, None).await;
            assert_eq!(found, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in ["/", "/api", "/api/v1", "/api/v1/secrets", "/api/v1/simulations/a/b", "/metrics/", "/debug"] {
        assert_eq!(status(&application, "GET", path, None).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn a_short_token_is_refused_at_the_start() {
    use clap::Parser as _;
    let parsed = marea_backend::config::Config::try_parse_from(["marea-backend", "--change-token", "short"]);
    let error = parsed.err().expect("refused").to_string();
    assert!(error.contains("at least 16 characters"), "{error}");
    assert!(!error.contains("\"short\""), "{error}");
}
