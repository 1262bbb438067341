//! `marea-backend`: see the library.

use anyhow::Context as _;
use clap::Parser as _;
use marea_backend::{
    cluster,
    config::Config,
    database::Database,
    http,
    lifecycle::Lifecycle,
    live::Live,
    metrics::Metrics,
    simulations::{Store, Worker},
};
use std::sync::Arc;
use tokio::net::TcpListener;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    // A log that nobody reads any more must not stop the program: by default a failed write panics on standard error.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .json()
        .init();
    // More than one TLS provider may be compiled into the process; naming one here keeps rustls from having to guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let database = Database::connect_lazily(&config.database)?;
    let live = Arc::new(Live::new(&config.pod_name));
    let simulations = Worker::new(Store::new(database.pool()));
    let listener = TcpListener::bind(config.bind_address)
        .await
        .with_context(|| format!("cannot listen on {}; set BIND_ADDRESS to a free address", config.bind_address))?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals()?;

    let migrations = tokio::spawn(database.clone().migrate_until_done());
    let watching = tokio::spawn(cluster::watch(config.cluster_name.clone(), live.clone(), simulations.clone()));
    tracing::info!(address = %listener.local_addr()?, pod = config.pod_name, "serving");
    let application = http::Application {
        database: database.clone(),
        live,
        metrics,
        lifecycle: lifecycle.clone(),
        pod: config.pod_name.clone().into(),
        simulations: simulations.clone(),
        change_token: config.change_token.clone().map(Into::into),
    };
    let working = tokio::spawn(simulations.run(application.pod.clone(), lifecycle));
    http::serve(listener, application, config.drain()).await?;

    // It has ended with the drain, unless PostgreSQL does not answer.
    working.abort();
    watching.abort();
    migrations.abort();
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}
