//! The daemon's body: brings the cloud up in its data directory and keeps it until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arm_server::{ArmServer, StartError};
use kubelet::Boot;
use kubelet::images::{Catalogue, CatalogueError};
use kubelet::process::Shim;
use network::names::Names;
use oci::{Limit, OciError, Store};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::azure_network;
use crate::certificates::{Authority, CertificateError};
use crate::cluster::Surroundings;
use crate::connection::Connection;
use crate::control::{self, Call, Command};
use crate::databases::Databases;
use crate::folder::{Folder, FolderError, Lock};
use crate::identity::Identity;
use crate::isolation::{Ground, GroundError, Isolation};
use crate::world::{LateEngine, World};

const LOCK_PATIENCE: Duration = Duration::from_secs(2);

pub struct ServeConfig {
    pub folder: Folder,
    /// Where `local/images.yaml`, the manifests and the console's files are.
    pub repo_root: PathBuf,
    /// Where the other programs of this project are.
    pub bin_dir: PathBuf,
    /// The program that carries containers, with the arguments before its verb.
    pub shim: Vec<std::ffi::OsString>,
    /// Virtual vCPUs a core of this host.
    pub vcpu_scale: f64,
    pub boot: Boot,
    /// What [`crate::isolation::prepare`] decided.
    pub isolation: Isolation,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("a local cloud already runs in {}", .0.display())]
    AlreadyRunning(PathBuf),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("the folder of images cannot be used: {}", .0.whole())]
    Images(#[from] OciError),
    #[error(transparent)]
    Isolation(#[from] GroundError),
    #[error("the embedded ARM does not start")]
    Arm(#[from] StartError),
    #[error("the embedded ARM cannot store its state: {0}")]
    Storage(String),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Serves until stopped by `marea local stop`, SIGTERM or SIGINT.
///
/// # Errors
/// When the cloud cannot come up; nothing keeps running then.
pub async fn serve(config: ServeConfig) -> Result<(), ServeError> {
    let folder = config.folder.clone();
    let _lock = lock(&folder).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut identity = Identity::open(&folder)?;
    let names = Names::default();
    // A twentieth of a core, which is what a small limit comes to, makes programs start slowly: as on AKS, where asked.
    let cpu_scale = matches!(config.boot, Boot::Realistic).then_some(config.vcpu_scale);
    let ground = Ground::prepare(config.isolation, &folder, &mut identity, &names, cpu_scale).await?;
    let ground = Arc::new(ground);
    let (subnets, seen_subnets) = watch::channel(Vec::new());
    let authority = Arc::new(Authority::open(&folder.authority())?);
    let ca_file = folder.authority().join("ca.crt");
    let engine = Arc::new(LateEngine::default());
    let databases = Arc::new(Databases::new(folder.clone(), ground.clone(), names.clone(), authority.clone()));
    let catalogue = Catalogue::load(&config.repo_root.join("local/images.yaml"), &folder.root().join("images.yaml"))?;
    // An image's own files need a root file system of their own, which only the sandbox gives a pod.
    let images = match ground.router() {
        Some(_) => Some(Arc::new(Store::open(&folder.images(), Limit::default())?)),
        None => None,
    };
    let around = Surroundings {
        authority: authority.clone(),
        ground: ground.clone(),
        subnets: seen_subnets,
        names,
        catalogue: Arc::new(catalogue),
        images,
        bin_dir: config.bin_dir,
        repo_root: config.repo_root,
        shim: Shim::new(config.shim),
        vcpu_scale: config.vcpu_scale,
        boot: config.boot,
        http_port: identity.ports.http,
        counts: engine.clone(),
    };
    let preferred_port = identity.ports.arm;
    let shared_identity = Arc::new(Mutex::new(identity.clone()));
    let world = Arc::new(World::new(folder.clone(), around, databases, shared_identity.clone(), engine.clone()));
    let throttle = matches!(config.boot, kubelet::Boot::Realistic);
    let arm = start_arm(&folder, &identity, &authority, preferred_port, throttle, world.clone()).await?;
    engine.set(arm.engine.clone());
    if ground.router().is_some() {
        tokio::spawn(azure_network::follow(arm.engine.clone(), subnets, world.cut.subscribe()));
    }
    {
        let mut identity = shared_identity.lock().await;
        identity.ports.arm = arm.address.port();
        identity.save(&folder)?;
    }
    // Whatever ran when the cloud last ended runs again; its data is all here.
    arm.engine
        .with(|engine, now| engine.ensure_everything(now))
        .await
        .map_err(|error| ServeError::Storage(error.to_string()))?;

    let mut connection = Connection {
        pid: std::process::id(),
        arm_endpoint: format!("https://{}", arm.address),
        authority_host: format!("https://{}/", arm.address),
        tenant_id: identity.tenant_id.to_string(),
        subscription_id: identity.subscription_id.to_string(),
        client_id: identity.client_id.to_string(),
        client_secret: identity.client_secret.clone(),
        ca_file,
        kubeconfig: folder.kubeconfig(),
        console_url: String::new(),
        isolation: ground.name().to_owned(),
    };
    connection.save(&folder)?;
    let mut calls = control::listen(&folder.control_socket())?;
    tracing::info!(arm = %arm.address, isolation = ground.name(), "the local cloud is ready");

    let mut changes = world.changes();
    let answer = loop {
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) if call.command == Command::Stop => break Some(call.answer),
                Some(call) if call.command == Command::Ping => {
                    let _ = call.answer.send(json!({}));
                }
                Some(Call { command: Command::Faults, answer }) => {
                    let _ = answer.send(json!(world.conditions().await));
                }
                Some(Call { command: Command::Fault(fault), answer }) => {
                    let _ = answer.send(json!(world.fault(&fault).await));
                }
                Some(call) => {
                    let status = status(&connection, &world).await;
                    let _ = call.answer.send(status);
                }
                None => break None,
            },
            _ = changes.changed() => refresh(&mut connection, &folder, &world).await,
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        }
    };
    tracing::info!("the local cloud stops");
    world.stop().await;
    arm.shutdown().await;
    if let Ok(limits) = &ground.limits {
        limits.remove();
    }
    if let Some(router) = ground.router() {
        router.dismiss();
    }
    if let Some(answer) = answer {
        let _ = answer.send(json!({"stopped": true}));
    }
    Ok(())
}

/// The directory's lock. It is taken for an instant by whoever looks whether a cloud runs, and kept by a killed cloud until
/// its last thread has ended; neither is a cloud that runs already.
async fn lock(folder: &Folder) -> Result<Lock, ServeError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = folder.lock()? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            return Err(ServeError::AlreadyRunning(folder.root().to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn start_arm(
    folder: &Folder,
    identity: &Identity,
    authority: &Authority,
    port: u16,
    throttle: bool,
    world: Arc<World>,
) -> Result<ArmServer, ServeError> {
    let leaf = authority.server(&["localhost"], &[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
    let data_dir = folder.arm();
    std::fs::create_dir_all(&data_dir).map_err(FolderError::io("make", &data_dir))?;
    let config = |port| arm_server::Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        certificate_pem: leaf.certificate_pem.clone(),
        key_pem: leaf.key_pem.clone(),
        data_dir: data_dir.clone(),
        tenant_id: identity.tenant_id.to_string(),
        subscription_id: identity.subscription_id.to_string(),
        client_id: identity.client_id.to_string(),
        client_secret: identity.client_secret.clone(),
        signing_key: identity.signing_key.clone().into_bytes(),
        throttle,
    };
    match arm_server::start(config(port), world.clone()).await {
        // Somebody else took the port since the last run; another one will do.
        Err(StartError::Listen(..)) if port != 0 => Ok(arm_server::start(config(0), world).await?),
        other => Ok(other?),
    }
}

async fn status(connection: &Connection, world: &World) -> Value {
    let mut status = world.status().await;
    status["pid"] = json!(connection.pid);
    status["arm"] = json!(connection.arm_endpoint);
    status["console"] = json!(connection.console_url);
    status["isolation"] = json!(connection.isolation);
    status
}

/// Tells clients where the console is now.
async fn refresh(connection: &mut Connection, folder: &Folder, world: &World) {
    let url = world.console_url().await.unwrap_or_default();
    if url != connection.console_url {
        connection.console_url = url;
        if let Err(error) = connection.save(folder) {
            tracing::error!(%error, "clients are not told of a changed address");
        }
    }
}
