//! The embedded ARM alone, with a world that always succeeds, at once but for clusters named `slow…`: for Azure's own clients in `conformance/azure`.
//!
//! `embedded_arm FOLDER` keeps its store and its certificate authority in the folder, writes `azure-env` there (shell exports, as
//! `marea local azure-env` prints them) once it listens, and serves until its standard input ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arm_engine::effect::{Effect, Outcome};
use arm_server::effects::Effects;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::io::AsyncReadExt;

const TENANT: &str = "22222222-2222-4222-8222-222222222222";
const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT: &str = "33333333-3333-4333-8333-333333333333";
const SECRET: &str = "conformance-only";

/// A kubeconfig that clients can parse; nothing listens at its address.
const KUBECONFIG: &str = r#"apiVersion: v1
kind: Config
clusters: [{name: conformance, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: conformance, user: {token: none}}]
contexts: [{name: conformance, context: {cluster: conformance, user: conformance}}]
current-context: conformance
"#;

/// How long a cluster takes whose name begins with `slow`: for clients that cancel what runs.
const SLOW: std::time::Duration = std::time::Duration::from_secs(3);

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: embedded_arm FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let (authority_pem, certificate_pem, key_pem) = certificates()?;
    let authority_file = folder.join("ca.crt");
    std::fs::write(&authority_file, authority_pem)?;
    let config = arm_server::Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate_pem,
        key_pem,
        data_dir: folder.join("arm"),
        tenant_id: TENANT.to_owned(),
        subscription_id: SUBSCRIPTION.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: SECRET.to_owned(),
        signing_key: vec![7; 32],
    };
    let server = arm_server::start(config, Arc::new(Succeeding)).await?;
    let endpoint = format!("https://{}", server.address);
    let authority_file = authority_file.display();
    let exports = format!(
        "export MAREA_ARM_ENDPOINT={endpoint}\nexport AZURE_AUTHORITY_HOST={endpoint}/\nexport AZURE_TENANT_ID={TENANT}\nexport AZURE_SUBSCRIPTION_ID={SUBSCRIPTION}\n\
         export AZURE_CLIENT_ID={CLIENT}\nexport AZURE_CLIENT_SECRET={SECRET}\nexport REQUESTS_CA_BUNDLE={authority_file}\nexport SSL_CERT_FILE={authority_file}\n"
    );
    // Written beside and renamed, so that whoever waits for the file never reads half of it.
    std::fs::write(folder.join("azure-env.new"), exports)?;
    std::fs::rename(folder.join("azure-env.new"), folder.join("azure-env"))?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    server.shutdown().await;
    Ok(())
}
