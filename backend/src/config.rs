//! Configuration, all of it from the environment.

use clap::{Args, Parser, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The platform's application: a live view of the cluster and of PostgreSQL.
///
/// The cluster is found as every Kubernetes client finds it: KUBECONFIG, else the pod's service account.
#[derive(Clone, Parser)]
#[command(name = "marea-backend", version)]
pub struct Config {
    /// Address and port to listen on.
    #[arg(long, env = "BIND_ADDRESS", default_value = "0.0.0.0:8080")]
    pub bind_address: SocketAddr,
    /// Name of this replica in answers and metrics.
    #[arg(long, env = "POD_NAME", default_value = "backend")]
    pub pod_name: String,
    /// Name of the cluster that the console shows.
    #[arg(long, env = "CLUSTER_NAME", default_value = "marea")]
    pub cluster_name: String,
    /// Seconds for which requests are still accepted after SIGTERM, while load balancers learn that this replica leaves.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_seconds: u64,
    /// Whoever changes something (today: starts or cancels a simulation) must send it as `Authorization: Bearer`; without it
    /// everybody who reaches the backend may.
    #[arg(env = "CHANGE_TOKEN", hide_env_values = true, long = "change-token", hide = true, value_parser = token)]
    pub change_token: Option<String>,
    #[command(flatten)]
    pub database: DatabaseConfig,
}

impl Config {
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// A token that can be guessed is worse than none: it looks as if there were one.
fn token(text: &str) -> Result<String, String> {
    match text.len() {
        0..16 => Err("must have at least 16 characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// PostgreSQL, in libpq's variables.
#[derive(Clone, Args)]
pub struct DatabaseConfig {
    /// Server name; with `verify-full`, TLS is checked against it.
    #[arg(long, env = "PGHOST", default_value = "localhost")]
    pub pg_host: String,
    /// Address to dial instead of resolving PGHOST.
    #[arg(long, env = "PGHOSTADDR")]
    pub pg_host_address: Option<IpAddr>,
    #[arg(long, env = "PGPORT", default_value_t = 5432)]
    pub pg_port: u16,
    #[arg(long, env = "PGUSER", default_value = "marea")]
    pub pg_user: String,
    #[arg(env = "PGPASSWORD", hide_env_values = true, long = "pg-password", hide = true)]
    pub pg_password: Option<String>,
    #[arg(long, env = "PGDATABASE", default_value = "marea")]
    pub pg_database: String,
    #[arg(long, env = "PGSSLMODE", value_enum, default_value_t = SslMode::VerifyFull)]
    pub pg_ssl_mode: SslMode,
    /// PEM file with the authorities to trust; the public ones when absent.
    #[arg(long, env = "PGSSLROOTCERT")]
    pub pg_ssl_root_cert: Option<PathBuf>,
    /// Connections at most; replicas times this must fit the server.
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub pool_size: u32,
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("host", &self.pg_host)
            .field("port", &self.pg_port)
            .field("user", &self.pg_user)
            .field("database", &self.pg_database)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}
