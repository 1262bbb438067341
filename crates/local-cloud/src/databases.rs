//! Flexible servers as ARM wants them, each one PostgreSQL with an address that it keeps.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arm_engine::effect::{DatabaseView, Outcome};
use network::addressing::Range;
use network::names::Names;
use network::sandbox::RouterError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::certificates::{Authority, CertificateError};
use crate::folder::{Folder, FolderError, remove_all, write_private};
use crate::isolation::Ground;
use crate::postgres::{self, B1MS_MAX_CONNECTIONS, B1MS_USER_CONNECTIONS, Inside, PostgresError, Programs, Wanted};

const PORT: u16 = 5432;
/// Azure keeps the first four addresses of a subnet to itself.
const FIRST_HOST: u8 = 4;
const LAST_HOST: u8 = 250;

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error("no address is left for another flexible server")]
    NoAddress,
    #[error("flexible server {id} has no {field}")]
    Incomplete { id: String, field: &'static str },
}

/// A server as the engine describes it. Contains the password: never printed.
pub struct Server<'a> {
    pub id: &'a str,
    pub body: &'a Value,
    pub administrator_password: &'a str,
    pub configurations: &'a [(String, String)],
    pub databases: &'a [DatabaseView],
}

/// What is kept beside a server's data.
#[derive(Serialize, Deserialize)]
struct Kept {
    address: Ipv4Addr,
    names: Vec<String>,
}

pub struct Databases {
    folder: Folder,
    ground: Arc<Ground>,
    names: Names,
    authority: Arc<Authority>,
    /// Servers that run, by name, with the task that starts them again when they end unasked.
    watched: Mutex<BTreeMap<String, AbortHandle>>,
}

/// The last part of a resource id, in the lower case in which folders are named.
fn name_of(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase()
}

/// What the server's network namespace is called.
fn namespace(name: &str) -> String {
    format!("database-{name}")
}

impl Databases {
    pub fn new(folder: Folder, ground: Arc<Ground>, names: Names, authority: Arc<Authority>) -> Databases {
        Databases { folder, ground, names, authority, watched: Mutex::new(BTreeMap::new()) }
    }

    /// Makes the server as described; starts it if it does not run.
    pub async fn ensure(self: &Arc<Self>, server: Server<'_>) -> Outcome {
        match self.try_ensure(server).await {
            Ok(address) => Outcome::Postgres { host_address: address.to_string(), state: "Ready".to_owned() },
            Err(error) => failed("ServerProvisioningFailed", &error),
        }
    }

    async fn try_ensure(self: &Arc<Self>, server: Server<'_>) -> Result<Ipv4Addr, DatabaseError> {
        let programs = Programs::find()?;
        let name = name_of(server.id);
        let kept = self.keep(&name, &server)?;
        if let Some(router) = self.ground.router() {
            router.attach(&namespace(&name), kept.address, None).await?;
        }
        let wanted = Arc::new(self.wanted(&name, &server, &kept)?);
        // A restart on a changed parameter is wanted, and not a crash that the watcher should mend.
        self.unwatch(&name);
        let pid = postgres::ensure(&programs, &self.folder.postgres_template(), &wanted).await?;
        for host in &kept.names {
            self.names.insert(host, kept.address);
        }
        self.watch(name, programs, wanted, pid);
        Ok(kept.address)
    }

    fn wanted(&self, name: &str, server: &Server<'_>, kept: &Kept) -> Result<Wanted, DatabaseError> {
        let administrator = server.body["properties"]["administratorLogin"].as_str();
        let administrator = administrator
            .ok_or_else(|| DatabaseError::Incomplete { id: server.id.to_owned(), field: "administratorLogin" })?;
        let names: Vec<&str> = kept.names.iter().map(String::as_str).collect();
        let leaf = self.certificate(name, &names, kept.address)?;
        Ok(Wanted {
            folder: self.folder.postgres(name),
            address: kept.address,
            port: PORT,
            administrator: administrator.to_owned(),
            administrator_password: server.administrator_password.to_owned(),
            certificate_pem: leaf.0,
            key_pem: leaf.1,
            max_connections: B1MS_MAX_CONNECTIONS,
            user_connections: B1MS_USER_CONNECTIONS,
            parameters: server.configurations.to_vec(),
            databases: server.databases.to_vec(),
            inside: self.ground.router().map(|router| Inside { router: Arc::clone(router), id: namespace(name) }),
        })
    }

    /// The server's certificate, issued once: a new one would restart PostgreSQL at every `up`.
    fn certificate(&self, name: &str, names: &[&str], address: Ipv4Addr) -> Result<(String, String), DatabaseError> {
        let folder = self.folder.postgres(name);
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        if let (Ok(certificate), Ok(key)) = (std::fs::read_to_string(&certificate), std::fs::read_to_string(&key)) {
            return Ok((certificate, key));
        }
        let leaf = self.authority.server(names, &[IpAddr::V4(address)])?;
        write_private(&key, leaf.key_pem.as_bytes())?;
        write_private(&certificate, leaf.certificate_pem.as_bytes())?;
        Ok((leaf.certificate_pem, leaf.key_pem))
    }

    fn keep(&self, name: &str, server: &Server<'_>) -> Result<Kept, DatabaseError> {
        let folder = self.folder.postgres(name);
        let path = folder.join("server.json");
        if let Some(kept) = read_kept(&path)? {
            return Ok(kept);
        }
        std::fs::create_dir_all(&folder).map_err(FolderError::io("make", &folder))?;
        let host_name = server.body["properties"]["fullyQualifiedDomainName"].as_str().map(str::to_owned);
        let mut names: Vec<String> = host_name.into_iter().collect();
        // Inside the VNet clients may use the name in the private zone as well.
        if let Some(zone) = server.body["properties"]["network"]["privateDnsZoneArmResourceId"].as_str() {
            names.push(format!("{name}.{}", name_of(zone)));
        }
        if names.is_empty() {
            return Err(DatabaseError::Incomplete { id: server.id.to_owned(), field: "fullyQualifiedDomainName" });
        }
        let kept = Kept { address: self.free_address()?, names };
        let text = serde_json::to_vec(&kept)
            .map_err(|error| FolderError::Unreadable { path: path.clone(), reason: error.to_string() })?;
        write_private(&path, &text)?;
        Ok(kept)
    }

    fn free_address(&self) -> Result<Ipv4Addr, DatabaseError> {
        let servers = std::fs::read_dir(self.folder.root().join("postgres"));
        let mut taken = Vec::new();
        for entry in servers.into_iter().flatten().flatten() {
            taken.extend(read_kept(&entry.path().join("server.json"))?.map(|kept| kept.address));
        }
        let addressing = self.ground.addressing;
        let listeners = addressing.listeners();
        (FIRST_HOST..=LAST_HOST)
            .map(|host| addressing.host_address(Range::Database, Ipv4Addr::new(10, 225, 0, host)))
            .find(|address| !taken.contains(address) && !listeners.holds(*address))
            .ok_or(DatabaseError::NoAddress)
    }

    fn watch(self: &Arc<Self>, name: String, programs: Programs, wanted: Arc<Wanted>, pid: u32) {
        let template = self.folder.postgres_template();
        let server = name.clone();
        let task = tokio::spawn(async move {
            let (mut pid, mut pause) = (pid, FIRST_RESTART_PAUSE);
            loop {
                postgres::ended(pid).await;
                tracing::warn!(server, pid, "PostgreSQL ended and is started again");
                match postgres::ensure(&programs, &template, &wanted).await {
                    Ok(restarted) => (pid, pause) = (restarted, FIRST_RESTART_PAUSE),
                    Err(error) => {
                        tracing::error!(server, %error, "PostgreSQL does not start");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_RESTART_PAUSE);
                    }
                }
            }
        });
        self.watched.lock().insert(name, task.abort_handle());
    }

    fn unwatch(&self, name: &str) {
        if let Some(watcher) = self.watched.lock().remove(name) {
            watcher.abort();
        }
    }

    /// Stops the server and removes its data.
    pub async fn delete(&self, id: &str) -> Outcome {
        let name = name_of(id);
        self.unwatch(&name);
        let folder = self.folder.postgres(&name);
        if let Ok(Some(kept)) = read_kept(&folder.join("server.json")) {
            kept.names.iter().for_each(|name| self.names.remove(name));
        }
        let deleted = postgres::delete(&folder).await.map_err(DatabaseError::from);
        if let Some(router) = self.ground.router() {
            router.detach(&namespace(&name)).await;
        }
        match deleted.and_then(|()| Ok(remove_all(&folder)?)) {
            Ok(()) => Outcome::Deleted,
            Err(error) => failed("ServerDeletionFailed", &error),
        }
    }

    /// Stops one server; its data and its address stay.
    pub async fn stop_one(&self, id: &str) -> Outcome {
        let name = name_of(id);
        self.unwatch(&name);
        postgres::stop(&self.folder.postgres(&name)).await;
        Outcome::Stopped
    }

    /// Starts again whatever ran when the cloud last ended.
    pub fn known(&self) -> Vec<String> {
        let servers = std::fs::read_dir(self.folder.root().join("postgres"));
        servers.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// The postmaster of a server, if it runs.
    pub fn postmaster(&self, name: &str) -> Option<i32> {
        postgres::running(&self.folder.postgres(name))
    }

    /// Stops every server; their data stays.
    pub async fn stop(&self) {
        let names: Vec<String> = self.watched.lock().keys().cloned().collect();
        names.iter().for_each(|name| self.unwatch(name));
        let folders = self.known().into_iter().map(|name| self.folder.postgres(&name));
        futures::future::join_all(folders.map(|folder| async move { postgres::stop(&folder).await })).await;
    }
}

/// Between the first two attempts to start a server that will not start: one whose postmaster was killed refuses until the
/// last of its sessions has noticed.
const FIRST_RESTART_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
const LONGEST_RESTART_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

fn read_kept(path: &std::path::Path) -> Result<Option<Kept>, FolderError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| FolderError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FolderError::io("read", path)(error)),
    }
}

/// An outcome that ARM shows to its client, with the whole chain of causes.
pub(crate) fn failed(code: &str, error: &dyn std::error::Error) -> Outcome {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message.push_str(": ");
        message.push_str(&source.to_string());
        cause = source.source();
    }
    Outcome::Failed { code: code.to_owned(), message }
}
