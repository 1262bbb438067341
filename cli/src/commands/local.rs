//! `marea local`: the embedded cloud's life.

mod fault;
mod snapshot;

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use local_cloud::isolation::Choice as Isolation;
use serde_json::json;

use crate::args::Local;
use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::terminal::{confirm, note, print, print_json};

pub async fn run(command: &Local) -> Result<Exit> {
    match command {
        Local::Start { realistic, isolation } => start(*realistic, *isolation).await,
        // Answered in `main`: the sandbox is entered before there is a runtime.
        Local::Serve { .. } => Err(CliError::bad_input("`marea local serve` is started by `marea local start`")),
        Local::Stop => stop().await,
        Local::Status(args) => status(args.json).await,
        Local::Logs { follow } => logs(*follow).await,
        Local::Kubeconfig { path } => kubeconfig(*path),
        Local::AzureEnv => azure_env(),
        Local::Fault(command) => fault::run(command).await,
        Local::Snapshot { file, json } => snapshot::take(file, json.json),
        Local::Restore { file, yes, json } => snapshot::restore(file, *yes, json.json).await,
        Local::Reset { yes } => reset(*yes).await,
        // Answered in `main`: a shim is a small process without a runtime.
        Local::Shim { .. } => Err(CliError::bad_input("`marea local shim` is started by the local cloud")),
    }
}

async fn start(realistic: bool, isolation: Option<Isolation>) -> Result<Exit> {
    if let Some(cloud) = cloud::answering().await? {
        cloud.check_isolation(isolation)?;
        note(&format!("The local cloud runs already: {}", cloud.connection().arm_endpoint));
        return Ok(Exit::Done);
    }
    if let Some(reason) = cloud::start(realistic, isolation).await? {
        note(&cloud::no_sandbox(&reason));
    }
    note(&format!("The local cloud runs: {}", cloud::running()?.connection().arm_endpoint));
    Ok(Exit::Done)
}

async fn stop() -> Result<Exit> {
    let stopped = cloud::stop().await?;
    note(if stopped { "The local cloud is stopped; what it holds stays." } else { "No local cloud was running." });
    Ok(Exit::Done)
}

async fn status(as_json: bool) -> Result<Exit> {
    let Some(cloud) = cloud::find()? else {
        if as_json {
            print_json(&json!({"running": false, "dataDir": cloud::data_dir()}));
        } else {
            print(&format!("stopped ({})", cloud::data_dir().display()));
        }
        return Ok(Exit::Done);
    };
    let connection = cloud.connection();
    if as_json {
        print_json(&json!({
            "running": true,
            "pid": connection.pid,
            "dataDir": cloud::data_dir(),
            "arm": connection.arm_endpoint,
            "console": cloud.console_url,
            "kubeconfig": connection.kubeconfig,
            "isolation": cloud.isolation,
        }));
        return Ok(Exit::Done);
    }
    print(&format!("running (process {})", connection.pid));
    print(&format!("Azure Resource Manager: {}", connection.arm_endpoint));
    print(&format!("Console:                {}", connection.console_url));
    print(&format!("Data:                   {}", cloud::data_dir().display()));
    Ok(Exit::Done)
}

async fn logs(follow: bool) -> Result<Exit> {
    let path = cloud::folder()?.log();
    let unreadable = |error: std::io::Error| {
        CliError::failed(format!("{} cannot be read: {error}", path.display()))
            .advice("The log exists once the cloud was started: `marea local start`.")
    };
    let mut file = std::fs::File::open(&path).map_err(unreadable)?;
    let mut position = 0;
    loop {
        // A cloud that starts anew may have begun its log again.
        if file.metadata().map_err(unreadable)?.len() < position {
            position = 0;
        }
        file.seek(SeekFrom::Start(position)).map_err(unreadable)?;
        let mut bytes = Vec::new();
        position += file.read_to_end(&mut bytes).map_err(unreadable)? as u64;
        if !bytes.is_empty() {
            print(&String::from_utf8_lossy(&bytes));
        }
        if !follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn kubeconfig(path_only: bool) -> Result<Exit> {
    let cloud = cloud::running()?;
    let path = &cloud.connection().kubeconfig;
    if path_only {
        print(&path.display().to_string());
        return Ok(Exit::Done);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::failed(format!("{} cannot be read: {error}", path.display()))
            .advice("It exists once there is a cluster: `marea up base`.")
    })?;
    print(&text);
    Ok(Exit::Done)
}

/// The secret is printed because clients need it; it opens nothing but the cloud of this user on this machine.
fn azure_env() -> Result<Exit> {
    let cloud = cloud::running()?;
    let connection = cloud.connection();
    let ca = connection.ca_file.display().to_string();
    let variables = [
        ("MAREA_ARM_ENDPOINT", connection.arm_endpoint.as_str()),
        ("AZURE_AUTHORITY_HOST", &connection.authority_host),
        ("AZURE_TENANT_ID", &connection.tenant_id),
        ("AZURE_SUBSCRIPTION_ID", &connection.subscription_id),
        ("AZURE_CLIENT_ID", &connection.client_id),
        ("AZURE_CLIENT_SECRET", &connection.client_secret),
        ("REQUESTS_CA_BUNDLE", &ca),
        ("SSL_CERT_FILE", &ca),
    ];
    for (name, value) in variables {
        print(&format!("export {name}={}", quote(value)));
    }
    Ok(Exit::Done)
}

/// For a POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

async fn reset(yes: bool) -> Result<Exit> {
    let folder = cloud::data_dir();
    if !folder.exists() {
        note("There is nothing to delete.");
        return Ok(Exit::Done);
    }
    if !yes && !confirm(&format!("Delete the local cloud in {} with its databases?", folder.display())) {
        return Err(CliError::new(Exit::NotAllowed, "nothing was deleted: it was not confirmed")
            .advice("--yes goes ahead without asking."));
    }
    cloud::reset().await?;
    note("The local cloud and everything it held are deleted.");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
