//! The embedded ARM alone, with a world that always succeeds: for whoever compares answers and needs no clusters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arm_engine::effect::{Effect, Outcome};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::effects::Effects;
use crate::{ArmServer, Config, StartError};

pub const TENANT: &str = "22222222-2222-4222-8222-222222222222";
pub const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
pub const CLIENT: &str = "33333333-3333-4333-8333-333333333333";
pub const SECRET: &str = "conformance-only";

/// A kubeconfig that clients can parse; nothing listens at its address.
const KUBECONFIG: &str = r#"apiVersion: v1
kind: Config
clusters: [{name: conformance, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: conformance, user: {token: none}}]
contexts: [{name: conformance, context: {cluster: conformance, user: conformance}}]
current-context: conformance
"#;

/// How long a cluster takes whose name begins with `slow`: for clients that cancel what runs.
const SLOW: Duration = Duration::from_secs(3);

struct Succeeding;

#[async_trait::async_trait]
impl Effects for Succeeding {
    async fn run(&self, effect: Effect) -> Outcome {
        if let Effect::EnsureCluster { cluster_id, .. } = &effect
            && cluster_id.rsplit('/').next().is_some_and(|name| name.starts_with("slow"))
        {
            tokio::time::sleep(SLOW).await;
        }
        match effect {
            Effect::EnsureCluster { .. } => Outcome::Cluster {
                fqdn: "conformance.hcp.eastus.azmk8s.io".to_owned(),
                admin_kubeconfig: KUBECONFIG.to_owned(),
                user_kubeconfig: KUBECONFIG.to_owned(),
                oidc_issuer_url: "https://127.0.0.1:1/".to_owned(),
            },
            Effect::EnsurePostgres { .. } => {
                Outcome::Postgres { host_address: "10.225.0.4".to_owned(), state: "Ready".to_owned() }
            }
            Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
            Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
        }
    }
}

/// A running server with what a client needs of it.
pub struct Alone {
    pub server: ArmServer,
    /// `https://127.0.0.1:PORT`; also the token authority.
    pub endpoint: String,
    pub subscription_id: String,
    /// PEM, and the file that holds it.
    pub certificate_authority: String,
    pub certificate_authority_file: PathBuf,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    #[error("no certificates can be made for the embedded ARM")]
    Certificates(#[from] rcgen::Error),
    #[error("{} cannot be written", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Keeps the store and the certificate authority in `folder`, and listens on a free port of this machine.
///
/// # Errors
/// See [`AloneError`].
pub async fn start(folder: &Path, subscription_id: &str) -> Result<Alone, AloneError> {
    let cannot = |source| AloneError::Folder(folder.to_owned(), source);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let (certificate_authority, certificate_pem, key_pem) = certificates()?;
    let certificate_authority_file = folder.join("ca.crt");
    std::fs::write(&certificate_authority_file, &certificate_authority).map_err(cannot)?;
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate_pem,
        key_pem,
        data_dir: folder.join("arm"),
        tenant_id: TENANT.to_owned(),
        subscription_id: subscription_id.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: SECRET.to_owned(),
        signing_key: vec![7; 32],
        throttle: false,
    };
    let server = crate::start(config, Arc::new(Succeeding)).await?;
    let endpoint = format!("https://{}", server.address);
    let subscription_id = subscription_id.to_owned();
    Ok(Alone { server, endpoint, subscription_id, certificate_authority, certificate_authority_file })
}

impl Alone {
    /// The variables that Azure's own clients and `marea` read, as `marea local azure-env` prints them.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let authority_file = self.certificate_authority_file.display().to_string();
        vec![
            ("MAREA_ARM_ENDPOINT", self.endpoint.clone()),
            ("AZURE_AUTHORITY_HOST", format!("{}/", self.endpoint)),
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_SUBSCRIPTION_ID", self.subscription_id.clone()),
            ("AZURE_CLIENT_ID", CLIENT.to_owned()),
            ("AZURE_CLIENT_SECRET", SECRET.to_owned()),
            ("REQUESTS_CA_BUNDLE", authority_file.clone()),
            ("SSL_CERT_FILE", authority_file),
        ]
    }
}

/// PEM of the authority, of the leaf and of the leaf's key.
fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "embedded ARM for conformance tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((authority_pem, leaf.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}
