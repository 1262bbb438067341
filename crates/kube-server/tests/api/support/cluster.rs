//! A server with its own CA on a free port.

use std::path::{Path, PathBuf};

use kube_server::{Server, ServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

pub struct Cluster {
    pub server: Server,
    pub authority: Authority,
    pub dir: tempfile::TempDir,
}

/// Keys and certificates, which outlive a restart.
pub struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
    key_pem: String,
    /// The server's, and its key.
    certificate: (String, String),
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let certificate = issue(&ca, "kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth);
        Authority { ca, key_pem: KeyPair::generate().expect("a key").serialize_pem(), certificate }
    }

    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    pub fn config(&self, dir: &Path) -> ServerConfig {
        ServerConfig {
            data_dir: Some(dir.join("data")),
            listen: "127.0.0.1:0".parse().expect("an address"),
            certificate_pem: self.certificate.0.clone(),
            key_pem: self.certificate.1.clone(),
            client_ca_pem: self.ca_pem(),
            service_cidr: "10.100.0.0/16".to_owned(),
            service_account_issuer: "https://kubernetes.default.svc".to_owned(),
            service_account_key_pem: self.key_pem.clone(),
            advertise: None,
            token_file: None,
        }
    }
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
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        let server = Server::start(authority.config(dir.path())).await.expect("the server starts");
        Cluster { server, authority, dir }
    }

    /// A kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        let ca = &self.authority.ca;
        let (certificate, key) = issue(ca, "admin", Some("system:masters"), ExtendedKeyUsagePurpose::ClientAuth);
        let write = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (ca, certificate, key) =
            (write("ca.pem", &ca.pem()), write("admin.pem", &certificate), write("admin.key", &key));
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
}
