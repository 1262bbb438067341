//! The cloud as a background process: start it, ask it, stop it, remove it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::control::{self, Command};
use crate::folder::{Folder, FolderError, remove_all};
use crate::postgres;

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot start {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the local cloud ended while starting; the end of {}:\n{tail}", log.display())]
    Ended { log: PathBuf, tail: String },
    #[error("the local cloud is not ready after {} s; its log is {}", START_DEADLINE.as_secs(), log.display())]
    NotReady { log: PathBuf },
    #[error("the local cloud (process {pid}) has not ended after {} s; its log is {}", STOP_DEADLINE.as_secs(), log.display())]
    NotStopped { pid: u32, log: PathBuf },
}

/// Starts the cloud of a data directory with `program` and its `arguments`, which must come to [`crate::serve`], and
/// returns when it answers, with what it says of itself. A cloud that already runs is left alone.
///
/// # Errors
/// When it cannot be started or does not get ready; the message has the end of its log.
pub async fn start(folder: &Folder, program: &Path, arguments: &[&str]) -> Result<(Connection, Value), DaemonError> {
    folder.create()?;
    if let Some(ready) = ready(folder).await? {
        return Ok(ready);
    }
    let mut child = None;
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if let Some(ready) = ready(folder).await? {
            return Ok(ready);
        }
        // Whoever holds the lock without answering is just starting, or was killed and has a thread that has not ended.
        let is_free = !folder.is_locked()?;
        if child.is_none() && is_free {
            child = Some(spawn(folder, program, arguments)?);
        } else if child.as_mut().is_some_and(has_ended) {
            if is_free {
                let log = folder.log();
                return Err(DaemonError::Ended { tail: tail(&log), log });
            }
            // Another start was quicker.
            child = None;
        }
        if Instant::now() > deadline {
            return Err(DaemonError::NotReady { log: folder.log() });
        }
        tokio::time::sleep(POLL).await;
    }
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|ended| ended.is_some())
}

async fn ready(folder: &Folder) -> Result<Option<(Connection, Value)>, FolderError> {
    let Some(status) = status(folder).await else { return Ok(None) };
    Ok(Connection::load(folder)?.map(|connection| (connection, status)))
}

fn spawn(folder: &Folder, program: &Path, arguments: &[&str]) -> Result<Child, DaemonError> {
    let log = folder.log();
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let output = output.map_err(FolderError::io("open", &log))?;
    let errors = output.try_clone().map_err(FolderError::io("open", &log))?;
    let mut command = Process::new(program);
    command.args(arguments).env("MAREA_DATA_DIR", folder.root());
    // A process group of its own: a terminal's Ctrl-C is not meant for the cloud.
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    command.spawn().map_err(|source| DaemonError::Spawn { program: program.to_owned(), source })
}

/// What the running cloud says of itself; `None` when none runs.
pub async fn status(folder: &Folder) -> Option<Value> {
    control::call(&folder.control_socket(), Command::Status).await
}

/// Whether the cloud that holds the data directory answers within `patience`; one that is just starting does so soon, one
/// that has just ended does not.
pub async fn answers(folder: &Folder, patience: Duration) -> bool {
    let socket = folder.control_socket();
    let asked = async {
        loop {
            if control::call(&socket, Command::Ping).await.is_some() {
                return true;
            }
            if !Connection::is_alive(folder).unwrap_or(true) {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(patience, asked).await.unwrap_or(false)
}

/// Stops the cloud and everything that it runs. False when none ran; what a killed one left behind is ended all the same.
///
/// # Errors
/// When it does not end in time.
pub async fn stop(folder: &Folder) -> Result<bool, DaemonError> {
    if !Connection::is_alive(folder)? {
        stop_orphans(folder).await;
        return Ok(false);
    }
    control::call(&folder.control_socket(), Command::Stop).await;
    let deadline = Instant::now() + STOP_DEADLINE;
    while Connection::is_alive(folder)? {
        if Instant::now() > deadline {
            let pid = Connection::load(folder)?.map_or(0, |connection| connection.pid);
            return Err(DaemonError::NotStopped { pid, log: folder.log() });
        }
        tokio::time::sleep(POLL).await;
    }
    // One that was killed a moment ago may still have held the directory when it was asked to stop.
    stop_orphans(folder).await;
    Ok(true)
}

/// Pods and databases outlive a cloud that was killed.
pub(crate) async fn stop_orphans(folder: &Folder) {
    for cluster in std::fs::read_dir(folder.root().join("clusters")).into_iter().flatten().flatten() {
        kubelet::stop_recorded_containers(&cluster.path().join("kubelet")).await;
    }
    let servers = std::fs::read_dir(folder.root().join("postgres"));
    for server in servers.into_iter().flatten().flatten() {
        postgres::stop(&server.path()).await;
    }
    network::sandbox::dismiss(&folder.sandbox());
}

/// Stops the cloud and removes its data: clusters, databases, identity. There is no way back.
///
/// # Errors
/// When it does not end or the data cannot be removed.
pub async fn reset(folder: &Folder) -> Result<(), DaemonError> {
    stop(folder).await?;
    Ok(remove_all(folder.root())?)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests;
