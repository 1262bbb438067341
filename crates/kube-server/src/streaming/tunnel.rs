//! kubectl's port-forward: SPDY streams in pairs, one for data and one for errors, inside one WebSocket.
//!
//! Each local connection opens an error stream and a data stream with the same request id; the data stream's opening
//! starts the connection to the pod (`k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Socket;
use super::spdy::{Frame, FrameError, FrameReader, HeaderReader, HeaderWriter, encode};
use crate::node_agent::{Duplex, NodeAgent};

const CHUNK_BYTES: usize = 32 * 1024;
const QUEUE: usize = 64;
/// RST_STREAM status codes of the SPDY/3 draft, section 2.6.3.
const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 5;

type Connection = Box<dyn Duplex>;

/// Forwards until the client goes away or breaks the protocol.
pub async fn serve_tunnel(socket: Socket, agent: Arc<dyn NodeAgent>, namespace: String, pod: String) {
    let (sink, mut stream) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write_frames(sink, receiver));
    let mut tunnel = Tunnel {
        agent,
        namespace,
        pod,
        sender,
        header_reader: HeaderReader::new(),
        header_writer: HeaderWriter::new(),
        error_streams: BTreeMap::new(),
        inputs: BTreeMap::new(),
    };
    let mut frames = FrameReader::default();
    'connection: while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(bytes) => frames.push(&bytes),
            Message::Close(_) => break,
            _ => continue,
        }
        loop {
            match frames.next() {
                Ok(Some(frame)) => {
                    if let Err(error) = tunnel.handle(frame).await {
                        tracing::debug!(%error, "port-forward tunnel broken");
                        break 'connection;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "port-forward tunnel broken");
                    break 'connection;
                }
            }
        }
    }
    drop(tunnel);
    writer.abort();
}

async fn write_frames(mut sink: SplitSink<Socket, Message>, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if sink.send(Message::Binary(encode(&frame))).await.is_err() {
            return;
        }
    }
}

struct Tunnel {
    agent: Arc<dyn NodeAgent>,
    namespace: String,
    pod: String,
    sender: mpsc::Sender<Frame>,
    header_reader: HeaderReader,
    header_writer: HeaderWriter,
    /// By request id, until their data stream comes.
    error_streams: BTreeMap<String, u32>,
    /// What the client sends on a data stream goes in here; an empty chunk closes the direction.
    inputs: BTreeMap<u32, mpsc::Sender<Bytes>>,
}

impl Tunnel {
    async fn handle(&mut self, frame: Frame) -> Result<(), FrameError> {
        match frame {
            Frame::SynStream { stream, headers, .. } => {
                let headers = self.header_reader.read(&headers)?;
                self.open(stream, &headers).await?;
            }
            Frame::Data { stream, fin, payload } => self.receive(stream, fin, payload).await,
            Frame::Reset { stream, .. } => {
                self.inputs.remove(&stream);
                self.error_streams.retain(|_, error_stream| *error_stream != stream);
            }
            Frame::Ping { id } => self.send(Frame::Ping { id }).await,
            Frame::SynReply { .. } | Frame::GoAway | Frame::Other => {}
        }
        Ok(())
    }

    async fn send(&self, frame: Frame) {
        // A closed queue means that the client is gone; the read side notices too.
        let _ = self.sender.send(frame).await;
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)]) -> Result<(), FrameError> {
        let header = |name: &str| {
            headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let port = header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let request = header("requestid").unwrap_or_default().to_owned();
        let (Some(port), Some(kind @ ("error" | "data"))) = (port, header("streamtype")) else {
            self.send(Frame::Reset { stream, status: PROTOCOL_ERROR }).await;
            return Ok(());
        };
        let headers = self.header_writer.write(&[])?;
        self.send(Frame::SynReply { stream, headers }).await;
        if kind == "error" {
            self.error_streams.insert(request, stream);
            return Ok(());
        }
        let Some(error_stream) = self.error_streams.remove(&request) else {
            self.send(Frame::Reset { stream, status: PROTOCOL_ERROR }).await;
            return Ok(());
        };
        let (input, received) = mpsc::channel(QUEUE);
        self.inputs.insert(stream, input);
        let forward = Forward {
            agent: self.agent.clone(),
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            port,
            stream,
            error_stream,
            sender: self.sender.clone(),
        };
        tokio::spawn(forward.run(received));
        Ok(())
    }

    async fn receive(&mut self, stream: u32, fin: bool, payload: Bytes) {
        let Some(input) = self.inputs.get(&stream) else { return };
        if !payload.is_empty() {
            let _ = input.send(payload).await;
        }
        if fin {
            self.inputs.remove(&stream);
        }
    }
}

/// One connection between the client and the pod's port.
struct Forward {
    agent: Arc<dyn NodeAgent>,
    namespace: String,
    pod: String,
    port: u16,
    stream: u32,
    error_stream: u32,
    sender: mpsc::Sender<Frame>,
}

impl Forward {
    async fn run(self, received: mpsc::Receiver<Bytes>) {
        match self.agent.dial(&self.namespace, &self.pod, self.port).await {
            Ok(connection) => self.copy(connection, received).await,
            Err(error) => {
                let text = format!("error forwarding port {} to pod {}, uid : {error}", self.port, self.pod);
                self.send(Frame::Data { stream: self.error_stream, fin: true, payload: text.into() }).await;
                self.send(Frame::Reset { stream: self.stream, status: CANCEL }).await;
            }
        }
    }

    async fn send(&self, frame: Frame) {
        let _ = self.sender.send(frame).await;
    }

    async fn copy(&self, connection: Connection, mut received: mpsc::Receiver<Bytes>) {
        let (read, mut write) = tokio::io::split(connection);
        let input = tokio::spawn(async move {
            while let Some(bytes) = received.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = write.shutdown().await;
        });
        self.copy_output(read).await;
        input.abort();
        self.send(Frame::Data { stream: self.stream, fin: true, payload: Bytes::new() }).await;
        self.send(Frame::Data { stream: self.error_stream, fin: true, payload: Bytes::new() }).await;
    }

    async fn copy_output(&self, mut read: ReadHalf<Connection>) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let payload = Bytes::copy_from_slice(&buffer[..count]);
            if self.sender.send(Frame::Data { stream: self.stream, fin: false, payload }).await.is_err() {
                return;
            }
        }
    }
}
