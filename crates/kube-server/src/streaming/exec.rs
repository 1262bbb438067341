//! `pods/exec` over a WebSocket: one byte of channel number before each message
//! (`k8s.io/apimachinery/pkg/util/remotecommand`, protocols v4 and v5).

use futures::StreamExt;
use futures::stream::SplitStream;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Socket;
use super::channel::{QUEUE, copy_output, message, write_messages};
use crate::node_agent::{ExecSession, Writer};

/// The best first. v5 adds the closing of standard input alone.
pub const EXEC_PROTOCOLS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
/// v5 only: the next byte names the channel that is closed.
const CLOSE: u8 = 255;

/// Copies between the client and the program until the program ends, and reports how it ended.
pub async fn serve_exec(socket: Socket, session: ExecSession) {
    let (sink, stream) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write_messages(sink, receiver));
    // An empty message tells the client that the stream is open, as upstream does.
    let _ = sender.send(message(STDOUT, b"")).await;

    let input = tokio::spawn(read_messages(stream, session.stdin, session.resize));
    let stdout = tokio::spawn(copy_output(STDOUT, session.stdout, sender.clone()));
    let stderr = session.stderr.map(|stderr| tokio::spawn(copy_output(STDERR, stderr, sender.clone())));
    let outcome = session.exit.await.unwrap_or_else(|_| Err("the program's end was not reported".to_owned()));
    // What the program wrote before it ended still has to go out.
    let _ = stdout.await;
    if let Some(stderr) = stderr {
        let _ = stderr.await;
    }
    input.abort();
    let _ = sender.send(message(STATUS, status(&outcome).to_string().as_bytes())).await;
    let _ = sender.send(super::closing()).await;
    drop(sender);
    let _ = writer.await;
}

async fn read_messages(
    mut stream: SplitStream<Socket>,
    mut stdin: Option<Writer>,
    resize: Option<mpsc::UnboundedSender<(u16, u16)>>,
) {
    while let Some(Ok(received)) = stream.next().await {
        let bytes = match received {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        match (bytes.first().copied(), bytes.get(1..).unwrap_or_default()) {
            (Some(STDIN), payload) => {
                if let Some(open) = &mut stdin
                    && (open.write_all(payload).await.is_err() || open.flush().await.is_err())
                {
                    stdin = None;
                }
            }
            (Some(CLOSE), [STDIN]) => stdin = None,
            (Some(RESIZE), payload) => {
                if let (Some(resize), Some(size)) = (&resize, terminal_size(payload)) {
                    let _ = resize.send(size);
                }
            }
            _ => {}
        }
    }
}

/// `{"Width":80,"Height":24}`
fn terminal_size(payload: &[u8]) -> Option<(u16, u16)> {
    let size: Value = serde_json::from_slice(payload).ok()?;
    let field = |name: &str| u16::try_from(size.get(name)?.as_u64()?).ok();
    Some((field("Width")?, field("Height")?))
}

/// How the program ended, in the words of `k8s.io/kubelet/pkg/cri/streaming/remotecommand`.
fn status(outcome: &Result<i32, String>) -> Value {
    match outcome {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(reason) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("error executing command in container: {reason}"),
            "reason": "InternalError",
            "details": {"causes": [{"message": reason}]},
            "code": 500,
        }),
    }
}
