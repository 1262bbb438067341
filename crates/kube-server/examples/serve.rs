//! The API alone, without controllers and nodes, for trying clients and for `scripts/bench api`: prints the path of an
//! administrator's kubeconfig and serves until its standard input ends.

#[path = "../tests/api/support/mod.rs"]
#[allow(dead_code, reason = "the tests' support has more than this program needs")]
mod support;

use std::io::Write;

use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let cluster = support::Cluster::start().await;
    writeln!(std::io::stdout(), "{}", cluster.kubeconfig().display())?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    cluster.server.shutdown().await;
    Ok(())
}
