//! ARM over HTTPS: storage, tokens, and the effects of `arm-engine`.
//!
//! This crate is the shell around the pure engine. It adds the clock, the disk, TLS and concurrency, and nothing that ARM decides.

pub mod alone;
mod assertion;
mod clock;
pub mod effects;
mod handle;
mod identity;
mod limits;
mod seal;
mod serve;
mod storage;
mod trouble;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use handle::{EngineHandle, StorageFailed};
pub use trouble::Trouble;

use crate::effects::Effects;
use crate::identity::Identity;
use crate::storage::Committer;

/// What a server needs to start. Secrets are never logged.
#[derive(Clone)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The leaf certificate and what clients need to reach their CA, in PEM.
    pub certificate_pem: String,
    pub key_pem: String,
    /// Holds `arm.redb`.
    pub data_dir: PathBuf,
    pub tenant_id: String,
    pub subscription_id: String,
    /// The service principal that may sign in.
    pub client_id: String,
    pub client_secret: String,
    /// Signs bearer tokens and, by a key derived from it, encrypts the store; at least 32 bytes. A store opens only with the
    /// key that it was written with.
    pub signing_key: Vec<u8>,
    /// Sends clients away with 429 that ask more often than Azure Resource Manager allows. The headers that say how much is left are
    /// the same either way.
    pub throttle: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use the TLS certificate or key of the embedded ARM")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the signing key has {0} bytes; at least 32 are needed")]
    SigningKey(usize),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("cannot open the store {0}")]
    Store(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store {0} cannot be read back: {1}")]
    Restore(PathBuf, String),
}

/// A running server. Dropping it stops it; [`ArmServer::shutdown`] also waits.
pub struct ArmServer {
    /// Where it listens.
    pub address: SocketAddr,
    pub engine: EngineHandle,
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Opens the store, takes up what was under way, and serves.
///
/// # Errors
/// See [`StartError`]; nothing keeps running after an error.
pub async fn start(config: Config, effects: Arc<dyn Effects>) -> Result<ArmServer, StartError> {
    if config.signing_key.len() < 32 {
        return Err(StartError::SigningKey(config.signing_key.len()));
    }
    let acceptor = serve::tls(&config.certificate_pem, &config.key_pem).map_err(StartError::Tls)?;
    let path = config.data_dir.join("arm.redb");
    let seal = seal::Seal::derived_from(&config.signing_key)
        .map_err(|error| StartError::Store(path.clone(), Box::new(error)))?;
    let (committer, records) = Committer::open(&path, seal).map_err(|error| StartError::Store(path.clone(), error))?;
    let mut engine = arm_engine::Engine::new(&config.tenant_id, &config.subscription_id);
    engine.restore(&records).map_err(|message| StartError::Restore(path, message))?;
    let identity = Arc::new(Identity::new(&config));
    let door = Arc::new(serve::Door { identity: identity.clone(), limits: limits::Limits::new(config.throttle) });
    engine.set_owner(identity.object_id());
    let listener =
        tokio::net::TcpListener::bind(config.listen).await.map_err(|error| StartError::Listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let handle = EngineHandle::new(engine, committer, effects, stopped.clone());
    let tasks = vec![
        tokio::spawn(serve::accept(listener, acceptor, handle.clone(), door, stopped.clone())),
        tokio::spawn(handle.clone().run_timers(stopped)),
    ];
    // What a crash left undone goes on at once.
    if let Err(error) = handle.with(|engine, now| engine.tick(now)).await {
        tracing::error!(%error, "the embedded ARM cannot store its state");
    }
    Ok(ArmServer { address, engine: handle, stop, tasks })
}

impl ArmServer {
    /// Stops taking requests and waits for those under way. Effects that are running are handed out again at the next start.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the embedded ARM ended badly");
            }
        }
        self.engine.close().await;
    }
}

impl Drop for ArmServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
