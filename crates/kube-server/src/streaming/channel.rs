//! Messages with one byte of channel number before them, which exec and the plain port-forward share.

use bytes::Bytes;
use futures::SinkExt;
use futures::stream::SplitSink;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Socket;

const CHUNK_BYTES: usize = 32 * 1024;
/// Messages waiting for a slow client; then the program's output waits.
pub(super) const QUEUE: usize = 16;

pub(super) fn message(channel: u8, payload: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(payload.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(payload);
    Message::Binary(Bytes::from(bytes))
}

pub(super) async fn write_messages(mut sink: SplitSink<Socket, Message>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

/// Sends what there is to read until its end, or until the client is gone.
pub(super) async fn copy_output(channel: u8, mut output: impl AsyncRead + Unpin, sender: mpsc::Sender<Message>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        if sender.send(message(channel, &buffer[..read])).await.is_err() {
            return;
        }
    }
}
