//! The embedded cloud of this machine, as the commands see it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arm_client::{Connection, Credential};
use local_cloud::ServeConfig;
use local_cloud::connection::Connection as CloudConnection;
use local_cloud::daemon::{self, DaemonError};
use local_cloud::folder::{Folder, FolderError};
use local_cloud::identity::PREFERRED_HTTP_PORT;
use local_cloud::isolation::{self, Choice, Isolation};
use stack::Reporter;

use crate::error::{CliError, Result};
use crate::project::Project;

/// A running cloud.
pub struct Cloud {
    connection: CloudConnection,
    /// PEM.
    pub certificate_authority: String,
    pub console_url: Option<String>,
    pub isolation: Option<String>,
}

pub fn folder() -> Result<Folder> {
    Folder::by_environment().map_err(|error| folder_error(&error))
}

/// The cloud's data directory; the current folder's `.marea` where the environment names no home at all.
pub fn data_dir() -> PathBuf {
    Folder::by_environment().map_or_else(|_| PathBuf::from(".marea"), |folder| folder.root().to_owned())
}

pub fn folder_error(error: &FolderError) -> CliError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    CliError::failed(format!("{error}{cause}"))
        .advice("Check the disk's free space and the permissions of the data directory (MAREA_DATA_DIR).")
}

/// The cloud of the data directory if it runs.
pub fn find() -> Result<Option<Cloud>> {
    let folder = folder()?;
    let connection = CloudConnection::load(&folder).map_err(|error| folder_error(&error))?;
    let Some(connection) = connection else { return Ok(None) };
    if !CloudConnection::is_alive(&folder).map_err(|error| folder_error(&error))? {
        return Ok(None);
    }
    let certificate_authority = std::fs::read_to_string(&connection.ca_file).map_err(|error| {
        CliError::failed(format!("{} cannot be read: {error}", connection.ca_file.display()))
            .advice("`marea local stop`, then `marea local start`, makes it again.")
    })?;
    Ok(Some(Cloud {
        certificate_authority,
        console_url: Some(connection.console_url.clone()).filter(|url| !url.is_empty()),
        isolation: Some(connection.isolation.clone()),
        connection,
    }))
}

/// The cloud of the data directory if it runs and answers. One that was killed a moment ago may still hold the directory,
/// and then none runs.
pub async fn answering() -> Result<Option<Cloud>> {
    let Some(cloud) = find()? else { return Ok(None) };
    match cloud.check_answers().await {
        // One that was just starting has written its own connection meanwhile.
        Ok(()) => find(),
        Err(error) => match find()? {
            Some(_) => Err(error),
            None => Ok(None),
        },
    }
}

/// What keeps the running cloud from being whole, a sentence each.
pub async fn problems() -> Result<Vec<String>> {
    let status = daemon::status(&folder()?).await.unwrap_or_default();
    let clusters = status["clusters"].as_array().into_iter().flatten();
    let told = clusters.flat_map(|cluster| cluster["problems"].as_array().into_iter().flatten());
    Ok(told.filter_map(|problem| problem.as_str().map(str::to_owned)).collect())
}

/// The console's address for people, with the reason for a port that they did not expect.
pub fn console_line(url: &str) -> String {
    let preferred = format!("http://127.0.0.1:{PREFERRED_HTTP_PORT}");
    let taken = std::net::TcpListener::bind(("127.0.0.1", PREFERRED_HTTP_PORT)).is_err();
    if url != preferred && taken {
        format!("Console: {url} (port {PREFERRED_HTTP_PORT} is in use by another program)")
    } else {
        format!("Console: {url}")
    }
}

/// The running cloud, or an error that says how to start it.
pub fn running() -> Result<Cloud> {
    find()?.ok_or_else(|| {
        CliError::failed(format!("no local cloud runs in {}", data_dir().display()))
            .advice("Start it with `marea local start`, or `marea up` for everything.")
    })
}

/// The running cloud, started if it is not.
pub async fn ensure_running(reporter: &dyn Reporter, isolation: Option<Choice>) -> Result<Cloud> {
    if let Some(cloud) = answering().await? {
        cloud.check_isolation(isolation)?;
        return Ok(cloud);
    }
    reporter.status("starting the local cloud");
    if let Some(reason) = start(false, isolation).await? {
        reporter.line(&no_sandbox(&reason));
    }
    running()
}

/// Long enough for a cloud that is just starting on a busy machine; nobody wants to wait longer for one that hangs.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

impl Cloud {
    /// A process that holds the data directory need not be one that serves: it may hang, or be stopped.
    pub async fn check_answers(&self) -> Result<()> {
        if daemon::answers(&folder()?, ANSWER_PATIENCE).await {
            return Ok(());
        }
        // It ended while it was asked: then the way to a new one is what helps.
        running()?;
        let pid = self.connection.pid;
        if i32::try_from(pid).is_ok_and(kubelet::process::is_stopped) {
            let message = format!("the local cloud in {} (process {pid}) is paused", data_dir().display());
            return Err(CliError::failed(message).advice("`marea local fault heal` lets it go on."));
        }
        Err(CliError::failed(format!(
            "the local cloud in {} (process {pid}) does not answer within {} s",
            data_dir().display(),
            ANSWER_PATIENCE.as_secs()
        ))
        .advice(format!("`marea local logs` may say why. `kill -9 {pid}`, then `marea local start`, loses nothing.")))
    }

    /// A cloud keeps the isolation that it was made with.
    pub fn check_isolation(&self, wanted: Option<Choice>) -> Result<()> {
        let own = self.connection.isolation.as_str();
        match wanted {
            Some(wanted @ (Choice::Sandbox | Choice::None)) if wanted.to_string() != own => Err(CliError::bad_input(
                format!("the local cloud in {} runs with isolation `{own}`, not `{wanted}`", data_dir().display()),
            )
            .advice("`marea local reset` deletes it; MAREA_DATA_DIR names another place for another cloud.")),
            _ => Ok(()),
        }
    }

    pub fn arm_connection(&self) -> Connection {
        let cloud = &self.connection;
        Connection {
            endpoint: cloud.arm_endpoint.trim_end_matches('/').to_owned(),
            subscription_id: cloud.subscription_id.clone(),
            authority: Some(cloud.authority_host.clone()),
            certificate_authority: Some(self.certificate_authority.clone()),
            credential: Credential::ClientSecret {
                tenant_id: cloud.tenant_id.clone(),
                client_id: cloud.client_id.clone(),
                client_secret: cloud.client_secret.clone(),
            },
        }
    }

    pub fn connection(&self) -> &CloudConnection {
        &self.connection
    }
}

pub fn no_sandbox(reason: &str) -> String {
    format!(
        "Isolation: none, because this machine allows no sandbox: {reason}. Pods are plain processes; network policies, security groups and CPU limits are not enforced."
    )
}

/// Starts the cloud in the background and returns when it answers: with the reason, where a sandbox was looked for in vain.
pub async fn start(realistic: bool, isolation: Option<Choice>) -> Result<Option<String>> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program's own path cannot be read: {error}")))?;
    let root = repository(&program)?;
    let root = root.to_str().ok_or_else(|| CliError::bad_input(format!("the path {} is not UTF-8", root.display())))?;
    let mut arguments = vec!["local", "serve", "--root", root];
    if realistic {
        arguments.push("--realistic");
    }
    let isolation = isolation.map(|choice| choice.to_string());
    if let Some(isolation) = &isolation {
        arguments.extend(["--isolation", isolation]);
    }
    let folder = folder()?;
    let started = daemon::start(&folder, &program, &arguments).await;
    let (_, status) = started.map_err(|error| daemon_error(&error))?;
    Ok(status["isolationReason"].as_str().map(str::to_owned))
}

/// The repository whose image catalogue and files the cloud uses: the current folder's, else the one that the program was built in.
fn repository(program: &Path) -> Result<PathBuf> {
    Project::find().map(|project| project.root).or_else(|error| {
        let built_in = program.ancestors().find(|folder| folder.join("local/images.yaml").is_file());
        built_in.map(Path::to_owned).ok_or(error)
    })
}

/// The time that a machine takes to boot unless AKS's is asked for: enough to be seen, short enough not to be waited for.
const SHORT_BOOT: Duration = Duration::from_millis(250);

/// Enters the sandbox, where one is wanted. To be called while the process has one thread.
pub fn prepare(choice: Option<Choice>) -> Result<Isolation> {
    let (_, shim) = own_programs()?;
    isolation::prepare(&folder()?, choice.unwrap_or_default(), &shim).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        CliError::failed(format!("{error}{cause}"))
    })
}

/// Where this program and its siblings are, and how the one that carries containers is called.
fn own_programs() -> Result<(PathBuf, Vec<std::ffi::OsString>)> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program's own path cannot be read: {error}")))?;
    let bin_dir = program.parent().unwrap_or(Path::new("/")).to_owned();
    let own_shim = bin_dir.join("marea-shim");
    // One of them lives beside every container: the small program is preferred to this large one.
    let shim =
        if own_shim.is_file() { vec![own_shim.into()] } else { vec![program.into(), "local".into(), "shim".into()] };
    Ok((bin_dir, shim))
}

/// The cloud itself, until it is told to stop. `MAREA_LOG` sets what it logs.
pub async fn serve(root: &Path, realistic: bool, isolation: Isolation) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAREA_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A full disk must not stop the cloud: by default a failed write panics on standard error.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let (bin_dir, shim) = own_programs()?;
    let config = ServeConfig {
        folder: folder()?,
        repo_root: root.to_owned(),
        bin_dir,
        shim,
        vcpu_scale: kubelet::default_vcpu_scale(),
        boot: if realistic { kubelet::Boot::Realistic } else { kubelet::Boot::Fixed(SHORT_BOOT) },
        isolation,
    };
    local_cloud::serve(config).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        CliError::failed(format!("{error}{cause}"))
            .advice("`marea local status` shows whether another cloud runs here; MAREA_DATA_DIR names another place.")
    })
}

/// `false` where none ran.
pub async fn stop() -> Result<bool> {
    daemon::stop(&folder()?).await.map_err(|error| daemon_error(&error))
}

pub async fn reset() -> Result<()> {
    daemon::reset(&folder()?).await.map_err(|error| daemon_error(&error))
}

fn daemon_error(error: &DaemonError) -> CliError {
    if let DaemonError::Folder(error) = error {
        return folder_error(error);
    }
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    CliError::failed(format!("{error}{cause}"))
        .advice("`marea local logs` prints the whole log; correct what it names and run the command again.")
}
