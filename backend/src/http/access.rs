//! Who may change something.

use super::Application;
use super::problem::Refusal;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Lets through whoever sends the configured token, or everybody where none is configured.
pub async fn may_change(State(application): State<Application>, request: Request, next: Next) -> Response {
    let Some(token) = &application.change_token else { return next.run(request).await };
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match sent.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(sent) if equal(sent.as_bytes(), token.as_bytes()) => next.run(request).await,
        _ => Refusal::Unauthorised.into_response(),
    }
}

/// Takes as long for a token that is nearly right as for one that is wrong from its first byte.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_equal_only_as_a_whole() {
        assert!(equal(b"secret", b"secret"));
        for other in ["secre", "secreT", "secrets", ""] {
            assert!(!equal(other.as_bytes(), b"secret"), "{other}");
        }
    }
}
