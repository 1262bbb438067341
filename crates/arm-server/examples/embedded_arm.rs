//! The embedded ARM alone, with a world that always succeeds, at once but for clusters named `slow…`: for Azure's own clients in `conformance/azure`.
//!
//! `embedded_arm FOLDER` keeps its store and its certificate authority in the folder, writes `azure-env` there (shell exports, as
//! `marea local azure-env` prints them) once it listens, and serves until its standard input ends.

use std::path::Path;

use arm_server::alone;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: embedded_arm FOLDER")?;
    let folder = Path::new(&folder);
    let alone = alone::start(folder, alone::SUBSCRIPTION).await?;
    let exports: String = alone.environment().iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    // Written beside and renamed, so that whoever waits for the file never reads half of it.
    std::fs::write(folder.join("azure-env.new"), exports)?;
    std::fs::rename(folder.join("azure-env.new"), folder.join("azure-env"))?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    alone.server.shutdown().await;
    Ok(())
}
