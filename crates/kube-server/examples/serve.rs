//! The API alone, without controllers and nodes, for trying clients and for `scripts/bench api`: prints the path of an
//! administrator's kubeconfig, beside which its certificates lie, and serves until its standard input ends.

#[path = "../tests/api/support/cluster.rs"]
mod cluster;

use std::io::Write;

use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let cluster = cluster::Cluster::start().await;
    let kubeconfig = cluster.kubeconfig();
    // With these the genuine server can stand in for this one.
    let config = cluster.authority.config(cluster.dir.path());
    for (name, pem) in [
        ("server.pem", &config.certificate_pem),
        ("server.key", &config.key_pem),
        ("accounts.key", &config.service_account_key_pem),
    ] {
        std::fs::write(cluster.dir.path().join(name), pem)?;
    }
    writeln!(std::io::stdout(), "{}", kubeconfig.display())?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    cluster.server.shutdown().await;
    Ok(())
}
