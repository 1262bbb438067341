//! The WebSocket handshake (RFC 6455 section 4) with Kubernetes' choice of subprotocol.

use std::future::Future;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A message larger than this is an attack or a mistake: clients send at most 32 KiB at once.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpgradeError {
    #[error("SPDY is not served: use a client that speaks WebSockets, such as kubectl 1.31 or newer")]
    Spdy,
    #[error("this subresource is served over a WebSocket: the request must upgrade")]
    NotAnUpgrade,
    #[error("none of the subprotocols `{offered}` is known here; there is: {supported}")]
    Subprotocol { offered: String, supported: String },
}

/// An accepted handshake.
pub struct Upgrade<F> {
    pub protocol: &'static str,
    /// Status 101; to be sent before `socket` can resolve.
    pub response: Response<()>,
    pub socket: F,
}

fn has_token(headers: &HeaderMap, name: http::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// Accepts the upgrade with the first of the client's subprotocols that is supported.
///
/// # Errors
/// When the request is not a WebSocket's handshake or shares no subprotocol.
pub fn upgrade<B>(
    request: &mut Request<B>,
    supported: &[&'static str],
) -> Result<Upgrade<impl Future<Output = Result<Socket, hyper::Error>> + Send + use<B>>, UpgradeError> {
    let headers = request.headers();
    if has_token(headers, UPGRADE, "SPDY/3.1") {
        return Err(UpgradeError::Spdy);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let is_handshake = has_token(headers, UPGRADE, "websocket")
        && has_token(headers, CONNECTION, "upgrade")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let (Some(key), true) = (key, is_handshake) else { return Err(UpgradeError::NotAnUpgrade) };
    let accept = derive_accept_key(key.as_bytes());
    let protocol = negotiate(headers, supported)?;

    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        out.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let upgraded = hyper::upgrade::on(request);
    let socket = async move {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded.await?), Role::Server, Some(limits)).await)
    };
    Ok(Upgrade { protocol, response, socket })
}

fn negotiate(headers: &HeaderMap, supported: &[&'static str]) -> Result<&'static str, UpgradeError> {
    let offered: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let chosen = offered.iter().find_map(|offer| supported.iter().find(|known| *known == offer));
    chosen
        .copied()
        .ok_or_else(|| UpgradeError::Subprotocol { offered: offered.join(", "), supported: supported.join(", ") })
}
