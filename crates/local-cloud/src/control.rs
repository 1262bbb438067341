//! The admin channel: one JSON line in, one JSON line out, over a socket that only the cloud's user can open.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::fault::Fault;
use crate::folder::FolderError;

const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Whether anybody is there; unlike the status it waits for no cluster.
    Ping,
    Status,
    /// Ends the cloud; what it runs ends first.
    Stop,
    /// What faults can be done to, and which of it is broken.
    Faults,
    Fault(Fault),
}

/// A command with the place where its answer goes.
pub(crate) struct Call {
    pub command: Command,
    pub answer: oneshot::Sender<Value>,
}

/// Listens until the receiver is dropped.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn listen(path: &Path) -> Result<mpsc::Receiver<Call>, FolderError> {
    // A socket that a killed cloud left behind answers nobody; the directory's lock says that no other cloud is here.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(FolderError::io("listen on", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(FolderError::io("protect", path))?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.is_closed() {
                return;
            }
            tokio::spawn(serve(stream, sender.clone()));
        }
    });
    Ok(receiver)
}

async fn serve(mut stream: UnixStream, calls: mpsc::Sender<Call>) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    if BufReader::new(read).read_line(&mut line).await.is_err() {
        return;
    }
    let Ok(command) = serde_json::from_str(&line) else { return };
    let (answer, answered) = oneshot::channel();
    if calls.send(Call { command, answer }).await.is_err() {
        return;
    }
    if let Ok(value) = answered.await {
        // A caller that has gone away needs no answer.
        let _ = write.write_all(format!("{value}\n").as_bytes()).await;
    }
}

/// Asks the cloud that listens there; `None` when none does or it went away meanwhile.
pub(crate) async fn call(path: &Path, command: Command) -> Option<Value> {
    let exchange = async {
        let mut stream = UnixStream::connect(path).await.ok()?;
        let line = serde_json::to_string(&command).ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.ok()?;
        serde_json::from_str(&answer).ok()
    };
    tokio::time::timeout(ANSWER_DEADLINE, exchange).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_a_call_and_says_nothing_where_nobody_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        assert_eq!(call(&path, Command::Status).await, None);
        let mut calls = listen(&path).unwrap();
        tokio::spawn(async move {
            let asked = calls.recv().await.unwrap();
            assert_eq!(asked.command, Command::Status);
            asked.answer.send(serde_json::json!({"ready": true})).unwrap();
        });
        assert_eq!(call(&path, Command::Status).await, Some(serde_json::json!({"ready": true})));
    }
}
