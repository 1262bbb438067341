//! The dialects over a real socket, with an agent whose pods echo.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::spdy::{Frame, FrameReader, HeaderWriter, encode};
use super::*;
use crate::node_agent::{
    ContainerRef, Duplex, ExecRequest, ExecSession, LogOptions, NodeAgent, NodeAgentError, NodeUsage, PodUsage, Reader,
};

/// Port 80 echoes in capitals, every other refuses; a command echoes its input and exits with 3.
struct Echo;

#[async_trait]
impl NodeAgent for Echo {
    async fn logs(&self, container: &ContainerRef, _: &LogOptions) -> Result<Reader, NodeAgentError> {
        Err(NodeAgentError::NotFound(container.container.clone()))
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, NodeAgentError> {
        let (input, mut program_input) = tokio::io::duplex(1024);
        let (mut program_output, output) = tokio::io::duplex(1024);
        let (exited, exit) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = program_input.read_to_end(&mut text).await;
            let _ = program_output.write_all(&text).await;
            drop(program_output);
            let _ = exited.send(Ok(request.command.len() as i32));
        });
        let stdin: crate::node_agent::Writer = Box::new(input);
        Ok(ExecSession { stdin: Some(stdin), stdout: Box::new(output), stderr: None, resize: None, exit })
    }

    async fn dial(&self, _: &str, _: &str, port: u16) -> Result<Box<dyn Duplex>, NodeAgentError> {
        if port != 80 {
            return Err(NodeAgentError::BadRequest(format!("connect: connection refused on {port}")));
        }
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = far.read(&mut buffer).await {
                let _ = far.write_all(&buffer[..count].to_ascii_uppercase()).await;
            }
        });
        Ok(Box::new(near))
    }

    fn pod_usage(&self) -> Vec<PodUsage> {
        Vec::new()
    }

    fn node_usage(&self) -> Vec<NodeUsage> {
        Vec::new()
    }

    fn node_metrics(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// Serves one dialect on a free port: `/exec` or anything else for port-forward.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| async move {
                let is_exec = request.uri().path() == "/exec";
                let protocols = if is_exec { EXEC_PROTOCOLS } else { PORT_FORWARD_PROTOCOLS };
                let response = match upgrade(&mut request, protocols) {
                    Err(error) => {
                        let mut response = http::Response::new(Empty::<Bytes>::new());
                        *response.status_mut() = http::StatusCode::BAD_REQUEST;
                        response.headers_mut().insert("x-error", error.to_string().parse().unwrap());
                        response
                    }
                    Ok(accepted) => {
                        tokio::spawn(serve(accepted.protocol, accepted.socket, is_exec));
                        accepted.response.map(|()| Empty::new())
                    }
                };
                Ok::<_, std::convert::Infallible>(response)
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address.to_string()
}

async fn serve(protocol: &str, socket: impl Future<Output = Result<Socket, hyper::Error>>, is_exec: bool) {
    let socket = socket.await.unwrap();
    let agent: Arc<dyn NodeAgent> = Arc::new(Echo);
    if is_exec {
        let container = ContainerRef { namespace: "ns".into(), pod: "web".into(), container: "web".into() };
        let request =
            ExecRequest { container, command: vec!["a".into(), "b".into(), "c".into()], stdin: true, tty: false };
        serve_exec(socket, agent.exec(request).await.unwrap()).await;
    } else if protocol == TUNNEL_PROTOCOL {
        serve_tunnel(socket, agent, "ns".into(), "web".into()).await;
    } else {
        serve_channels(socket, agent, "ns".into(), "web".into(), vec![80, 81]).await;
    }
}

type Client = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(path: &str, protocol: &'static str) -> Client {
    let mut request = format!("ws://{}{path}", server().await).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", http::HeaderValue::from_static(protocol));
    let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
    socket
}

async fn binary(client: &mut Client) -> Bytes {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => return bytes,
            Message::Close(_) => panic!("closed"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn exec_carries_input_output_and_the_exit_code() {
    let mut client = connect("/exec", "v5.channel.k8s.io").await;
    assert_eq!(binary(&mut client).await.as_ref(), [1]);
    client.send(Message::Binary(Bytes::from_static(b"\0hello"))).await.unwrap();
    client.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    assert_eq!(binary(&mut client).await.as_ref(), b"\x01hello");
    let status = binary(&mut client).await;
    assert_eq!(status[0], 3);
    let status: serde_json::Value = serde_json::from_slice(&status[1..]).unwrap();
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0]["message"], "3");
}

#[tokio::test]
async fn channels_begin_with_the_port_and_carry_errors_beside_data() {
    let mut client = connect("/", "v4.channel.k8s.io").await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(binary(&mut client).await.to_vec());
    }
    for (channel, port) in [(0_u8, 80_u8), (1, 80), (2, 81), (3, 81)] {
        assert!(seen.contains(&vec![channel, port, 0]), "{seen:?}");
    }
    assert!(seen.iter().any(|message| message[0] == 3 && message.len() > 3));
    client.send(Message::Binary(Bytes::from_static(b"\0ping"))).await.unwrap();
    assert_eq!(binary(&mut client).await.as_ref(), b"\0PING");
}

#[tokio::test]
async fn the_tunnel_carries_pairs_of_streams() {
    let mut client = connect("/", TUNNEL_PROTOCOL).await;
    let mut writer = HeaderWriter::new();
    let mut frames = FrameReader::default();
    for (stream, kind) in [(1, "error"), (3, "data")] {
        let headers = writer.write(&[("port", "80"), ("requestid", "0"), ("streamtype", kind)]).unwrap();
        let fin = kind == "error";
        client.send(Message::Binary(encode(&Frame::SynStream { stream, fin, headers }))).await.unwrap();
    }
    client.send(Message::Binary(encode(&Frame::Data { stream: 3, fin: false, payload: "hi".into() }))).await.unwrap();
    client.send(Message::Binary(encode(&Frame::Ping { id: 7 }))).await.unwrap();
    let (mut replies, mut echoed, mut pinged) = (0, false, false);
    while !(replies == 2 && echoed && pinged) {
        frames.push(&binary(&mut client).await);
        while let Some(frame) = frames.next().unwrap() {
            match frame {
                Frame::SynReply { .. } => replies += 1,
                Frame::Data { stream: 3, payload, .. } => echoed = payload.as_ref() == b"HI",
                Frame::Ping { id: 7 } => pinged = true,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Differs (Kubernetes API): SPDY is refused in words: kubectl has used WebSockets first since 1.31, and takes them.
#[tokio::test]
async fn spdy_and_unknown_subprotocols_are_refused_in_words() {
    let refused = |name: &'static str, value: &'static str| {
        let mut request = http::Request::new(());
        let headers = request.headers_mut();
        headers.insert("connection", http::HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", http::HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-version", http::HeaderValue::from_static("13"));
        headers.insert("sec-websocket-key", http::HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(name, http::HeaderValue::from_static(value));
        upgrade(&mut request, EXEC_PROTOCOLS).err().unwrap()
    };
    assert_eq!(refused("upgrade", "SPDY/3.1"), UpgradeError::Spdy);
    assert_eq!(refused("upgrade", "h2c"), UpgradeError::NotAnUpgrade);
    let unknown = refused("sec-websocket-protocol", "v1.channel.k8s.io").to_string();
    assert!(unknown.contains("v1.channel.k8s.io") && unknown.contains("v5.channel.k8s.io"), "{unknown}");
}
