//! Starting and stopping the API: opens the store, brings up what every cluster has, listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::api::Api;
use crate::authn::StaticTokens;
use crate::authn::tokens::Signer;
use crate::bootstrap;
use crate::client::Client;
use crate::decisions::DecisionSource;
use crate::error::ApiError;
use crate::http;
use crate::node_agent::NodeAgent;
use crate::settings::{ServiceRange, Settings};

pub struct ServerConfig {
    /// `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// PEM: the server's certificate and what leads to the CA.
    pub certificate_pem: String,
    /// PEM of the certificate's key.
    pub key_pem: String,
    /// PEM: client certificates must lead here. Also what pods get as `ca.crt`.
    pub client_ca_pem: String,
    /// `10.100.0.0/16`, or the range that it is mapped to on this machine.
    pub service_cidr: String,
    /// The `iss` of service account tokens.
    pub service_account_issuer: String,
    /// PKCS#8 PEM with an ECDSA P-256 key.
    pub service_account_key_pem: String,
    /// Where pods and clients reach the API; the listen address when absent.
    pub advertise: Option<SocketAddr>,
    /// Lines of `token,user,uid,"groups"`.
    pub token_file: Option<PathBuf>,
}

pub struct Server {
    api: Arc<Api>,
    client: Client,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    listener: tokio::task::JoinHandle<()>,
    tls: tokio_rustls::TlsAcceptor,
    shared: http::Shared,
    /// What serves further sockets.
    also: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// Work that goes on until the server stops.
    background: [tokio::task::JoinHandle<()>; 2],
}

impl Server {
    /// Resolves when the API answers over HTTPS and in process.
    ///
    /// # Errors
    /// When the store, a certificate, a key or the address cannot be used; the message says which.
    pub async fn start(config: ServerConfig) -> Result<Server, ApiError> {
        let signer = Signer::from_pem(&config.service_account_key_pem).map_err(ApiError::internal)?;
        let settings = Settings {
            data_dir: config.data_dir.clone(),
            service_range: ServiceRange::parse(&config.service_cidr).map_err(ApiError::internal)?,
            issuer: config.service_account_issuer.clone(),
            signer: Arc::new(signer),
            ca_pem: config.client_ca_pem.as_str().into(),
        };
        let tokens = config.token_file.as_deref().map(StaticTokens::read).transpose()?.unwrap_or_default();
        let tls = http::tls::acceptor(&config.certificate_pem, &config.key_pem, &config.client_ca_pem)?;
        let socket = tokio::net::TcpListener::bind(config.listen)
            .await
            .map_err(|error| ApiError::internal(format!("cannot listen on {}: {error}", config.listen)))?;
        let address = socket.local_addr().map_err(ApiError::internal)?;
        let api = Api::open(settings)?;
        let client = Client::new(api.clone());
        bootstrap::run(&api, &client, config.advertise.unwrap_or(address)).await?;
        let (stop, stopped) = watch::channel(false);
        let shared = http::Shared { api: api.clone(), tokens, stopped };
        let listener = tokio::spawn(http::serve(socket, tls.clone(), shared.clone()));
        let background = [
            tokio::spawn(crate::api::events::expire(client.clone())),
            tokio::spawn(crate::authz::aggregation::follow(client.clone())),
        ];
        Ok(Server { api, client, address, stop, listener, tls, shared, also: std::sync::Mutex::default(), background })
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on another socket as well, until the server stops: one that lies in another network.
    pub fn listen_also(&self, socket: tokio::net::TcpListener) {
        let serving = tokio::spawn(http::serve(socket, self.tls.clone(), self.shared.clone()));
        self.also.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(serving);
    }

    /// From now on, or no longer, writes are refused as on a full disk; for faults on demand.
    pub fn fill_disk(&self, full: bool) {
        self.api.fill_disk(full);
    }

    pub fn set_node_agent(&self, agent: Arc<dyn NodeAgent>) {
        self.api.set_node_agent(agent);
    }

    pub fn set_decision_source(&self, source: Arc<dyn DecisionSource>) {
        self.api.set_decisions(source);
    }

    /// Stops listening and ends open requests. Everything that was acknowledged is on disk already.
    pub async fn shutdown(self) {
        for task in &self.background {
            task.abort();
        }
        self.stop.send_replace(true);
        if let Err(error) = self.listener.await {
            tracing::warn!(%error, "the API's listener did not end cleanly");
        }
        // Their sockets are free for the next server, then.
        let also = std::mem::take(&mut *self.also.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for serving in also {
            if let Err(error) = serving.await {
                tracing::warn!(%error, "a listener of the API did not end cleanly");
            }
        }
        self.api.close().await;
    }
}
