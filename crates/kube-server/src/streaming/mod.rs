//! Byte streams over WebSockets: exec, and port-forward in both of its dialects.
//!
//! Stock kubectl 1.31 and newer tunnels SPDY/3.1 frames inside a WebSocket for port-forward
//! (`SPDY/3.1+portforward.k8s.io`); kube-rs and the Python client put one byte of channel number before each message.
//! Bare SPDY, which older kubectl speaks, is refused with a message that says what to use instead.

mod channel;
mod exec;
mod portforward;
mod spdy;
mod tunnel;
mod upgrade;

pub use exec::{EXEC_PROTOCOLS, serve_exec};
pub use portforward::{PORT_FORWARD_PROTOCOLS, TUNNEL_PROTOCOL, serve_channels};
pub use tunnel::serve_tunnel;
pub use upgrade::{Socket, Upgrade, UpgradeError, upgrade};

/// A close with a status: clients take one without for a broken connection.
fn closing() -> tokio_tungstenite::tungstenite::Message {
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
    tokio_tungstenite::tungstenite::Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

#[cfg(test)]
mod tests;
