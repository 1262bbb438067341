//! `pods/portforward` over plain WebSocket channels, as kube-rs and the Python client speak it: port n has data on channel
//! 2n and errors on 2n+1, and each channel begins with the port's number, little-endian
//! (`k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go`).

use std::sync::Arc;

use futures::StreamExt;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Socket;
use super::channel::{QUEUE, copy_output, message, write_messages};
use crate::node_agent::{Duplex, NodeAgent};

pub const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// kubectl's tunnel first.
pub const PORT_FORWARD_PROTOCOLS: &[&str] = &[TUNNEL_PROTOCOL, "v4.channel.k8s.io"];

type Connection = Box<dyn Duplex>;

/// Forwards the ports until the client goes away.
pub async fn serve_channels(
    socket: Socket,
    agent: Arc<dyn NodeAgent>,
    namespace: String,
    pod: String,
    ports: Vec<u16>,
) {
    let (sink, mut stream) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write_messages(sink, receiver));
    let mut inputs: Vec<Option<WriteHalf<Connection>>> = Vec::new();
    let mut outputs = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let data = channel(index * 2);
        let error = channel(index * 2 + 1);
        for number in [data, error] {
            let _ = sender.send(message(number, &port.to_le_bytes())).await;
        }
        match agent.dial(&namespace, &pod, *port).await {
            Ok(connection) => {
                let (read, write) = tokio::io::split(connection);
                inputs.push(Some(write));
                outputs.push(tokio::spawn(forward_output(data, read, sender.clone())));
            }
            Err(problem) => {
                inputs.push(None);
                let text = format!("error forwarding port {port} to pod {pod}, uid : {problem}");
                let _ = sender.send(message(error, text.as_bytes())).await;
            }
        }
    }
    while let Some(Ok(received)) = stream.next().await {
        let bytes = match received {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            _ => continue,
        };
        let Some((number, payload)) = bytes.split_first() else { continue };
        if number % 2 == 0
            && let Some(input) = inputs.get_mut(usize::from(number / 2))
            && let Some(open) = input
            && open.write_all(payload).await.is_err()
        {
            *input = None;
        }
    }
    for output in outputs {
        output.abort();
    }
    drop(sender);
    let _ = writer.await;
}

/// Kubernetes allows at most 256 channels; the route refuses more than 127 ports.
fn channel(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

async fn forward_output(channel: u8, output: ReadHalf<Connection>, sender: mpsc::Sender<Message>) {
    copy_output(channel, output, sender.clone()).await;
    // There is no message for the end of one channel in v4; closing the socket is what upstream does with its last port.
    let _ = sender.send(super::closing()).await;
}
