//! The flexible server: a real PostgreSQL with a data directory, an address and a certificate of its own.
//!
//! PostgreSQL refuses to run as root, so as root it runs in a user namespace in which the owner of its files has another
//! uid. The superuser is reachable only through a socket in a 0700 folder; over TCP everybody needs a password and TLS.

mod files;
mod process;
mod programs;
mod sql;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arm_engine::effect::DatabaseView;
use network::sandbox::Router;
pub use programs::Programs;

/// Azure's B1ms: 50 connections, of which 35 are for users (azure-databases-docs, limits of flexible servers).
pub const B1MS_MAX_CONNECTIONS: u32 = 50;
pub const B1MS_USER_CONNECTIONS: u32 = 35;

/// Azure keeps the superuser to itself; the administrator is an ordinary role with rights.
pub(crate) const SUPERUSER: &str = "azuresu";
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What a server is to be. Contains a password: never printed.
pub struct Wanted {
    /// The server's own folder; everything of it lies below.
    pub folder: PathBuf,
    pub address: Ipv4Addr,
    pub port: u16,
    pub administrator: String,
    pub administrator_password: String,
    pub certificate_pem: String,
    pub key_pem: String,
    pub max_connections: u32,
    pub user_connections: u32,
    /// Server parameters as ARM's configurations set them.
    pub parameters: Vec<(String, String)>,
    pub databases: Vec<DatabaseView>,
    /// Where the server listens: in a network namespace of its own, or on this host.
    pub inside: Option<Inside>,
}

/// A network namespace of the sandbox.
#[derive(Clone)]
pub struct Inside {
    pub router: Arc<Router>,
    pub id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/postgres; install the Debian package postgresql-15"
    )]
    NotInstalled,
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot run {program}")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} failed: {output}")]
    Program { program: String, output: String },
    #[error("PostgreSQL did not accept connections on {address} within {} s; its log is {}", START_DEADLINE.as_secs(), log.display())]
    NotReady { address: String, log: PathBuf },
    #[error("PostgreSQL ended while starting; the end of {}:\n{tail}", log.display())]
    Ended { log: PathBuf, tail: String },
    #[error("server parameter `{name}` cannot be set: {reason}")]
    Parameter { name: String, reason: String },
}

impl PostgresError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PostgresError {
        let path = path.to_owned();
        move |source| PostgresError::File { action, path, source }
    }
}

/// Makes the server as wanted and returns its process id: starts it, adopts it where it still runs, restarts it where a
/// parameter needs that. Idempotent.
///
/// # Errors
/// When programs are missing, the folder cannot be written, or PostgreSQL does not come up; nothing is lost then.
pub async fn ensure(programs: &Programs, template: &Path, wanted: &Wanted) -> Result<u32, PostgresError> {
    let data = wanted.folder.join("data");
    if !data.join("PG_VERSION").exists() {
        programs.make_template(template).await?;
        files::copy_template(template, &data)?;
    }
    let changed = files::write_configuration(wanted)?;
    let mut pid = process::running(&data);
    // One that outlived its network can be reached by nobody.
    let cut_off = pid.is_some_and(|pid| wanted.inside.as_ref().is_some_and(|inside| !process::is_inside(pid, inside)));
    if pid.is_some() && (changed || cut_off) {
        process::stop(&data).await;
        pid = None;
    }
    let pid = match pid {
        Some(pid) => {
            wait_until_ready(wanted, pid).await?;
            pid
        }
        None => start(programs, wanted).await?,
    };
    sql::apply(programs, wanted).await?;
    Ok(pid)
}

/// The postmaster of the server in this folder, if it runs.
pub fn running(folder: &Path) -> Option<i32> {
    process::running(&folder.join("data")).and_then(|pid| i32::try_from(pid).ok())
}

/// Stops the server that runs in this folder, if one does; its data stays.
pub async fn stop(folder: &Path) {
    process::stop(&folder.join("data")).await;
}

/// Stops the server and removes its data.
///
/// # Errors
/// When the folder cannot be removed.
pub async fn delete(folder: &Path) -> Result<(), PostgresError> {
    stop(folder).await;
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(PostgresError::file("remove", folder)(source))
        }
        _ => Ok(()),
    }
}

/// Resolves when the process has ended, whether or not it is a child of this one.
pub async fn ended(pid: u32) {
    process::ended(pid).await;
}

/// Starts the server; again and again where an earlier one was killed, for its sessions hold its memory until they notice.
async fn start(programs: &Programs, wanted: &Wanted) -> Result<u32, PostgresError> {
    let was_killed = wanted.folder.join("data/postmaster.pid").exists();
    let deadline = tokio::time::Instant::now() + START_DEADLINE;
    loop {
        let pid = process::start(programs, wanted)?;
        match wait_until_ready(wanted, pid).await {
            Ok(()) => return Ok(pid),
            Err(PostgresError::Ended { .. }) if was_killed && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn wait_until_ready(wanted: &Wanted, pid: u32) -> Result<(), PostgresError> {
    let deadline = tokio::time::Instant::now() + START_DEADLINE;
    let log = files::log(&wanted.folder);
    loop {
        if process::is_ready(&wanted.folder.join("data"), pid) {
            return Ok(());
        }
        if !process::is_alive(pid) {
            return Err(PostgresError::Ended { tail: files::tail(&log), log });
        }
        if tokio::time::Instant::now() > deadline {
            let address = format!("{}:{}", wanted.address, wanted.port);
            return Err(PostgresError::NotReady { address, log });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests;
