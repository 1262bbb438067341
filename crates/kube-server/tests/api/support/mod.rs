//! A server with its own CA on a free port.

pub mod agent;
pub mod kubectl;

use std::path::Path;

use kube_server::{Server, ServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

pub struct Cluster {
    pub server: Server,
    ca: CertifiedIssuer<'static, KeyPair>,
    key_pem: String,
    certificate: (String, String),
    pub dir: tempfile::TempDir,
}

fn issue(
    ca: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    organisation: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, ca).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

impl Cluster {
    pub async fn start() -> Cluster {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let certificate = issue(&ca, "kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth);
        let key_pem = KeyPair::generate().expect("a key").serialize_pem();
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(config(&ca, &certificate, &key_pem, dir.path())).await.expect("the server starts");
        Cluster { server, ca, key_pem, certificate, dir }
    }

    /// Stops the server and starts it on what it left on disk.
    pub async fn restart(self) -> Cluster {
        let Cluster { server, ca, key_pem, certificate, dir } = self;
        server.shutdown().await;
        let server =
            Server::start(config(&ca, &certificate, &key_pem, dir.path())).await.expect("the server starts again");
        Cluster { server, ca, key_pem, certificate, dir }
    }

    /// A kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        let (certificate, key) = issue(&self.ca, "admin", Some("system:masters"), ExtendedKeyUsagePurpose::ClientAuth);
        let write = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (ca, certificate, key) =
            (write("ca.pem", &self.ca.pem()), write("admin.pem", &certificate), write("admin.key", &key));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster:\n    server: https://127.0.0.1:{}\n    \
             certificate-authority: {}\ncontexts:\n- name: test\n  context: {{cluster: test, user: admin}}\nusers:\n- name: admin\n  user:\n    \
             client-certificate: {}\n    client-key: {}\n- name: nobody\n  user: {{}}\n",
            self.server.address().port(),
            ca.display(),
            certificate.display(),
            key.display()
        );
        write("kubeconfig", &text)
    }

    pub async fn admin(&self) -> kube::Client {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("the kubeconfig");
        let parsed = kube::config::Kubeconfig::from_yaml(&text).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(parsed, &Default::default()).await.expect("a configuration");
        kube::Client::try_from(config).expect("a client")
    }
}

fn config(
    ca: &CertifiedIssuer<'static, KeyPair>,
    certificate: &(String, String),
    key_pem: &str,
    dir: &Path,
) -> ServerConfig {
    ServerConfig {
        data_dir: Some(dir.join("data")),
        listen: "127.0.0.1:0".parse().expect("an address"),
        certificate_pem: certificate.0.clone(),
        key_pem: certificate.1.clone(),
        client_ca_pem: ca.pem(),
        service_cidr: "10.100.0.0/16".to_owned(),
        service_account_issuer: "https://kubernetes.default.svc".to_owned(),
        service_account_key_pem: key_pem.to_owned(),
        advertise: None,
        token_file: None,
    }
}
