//! The API server with throw-away certificates, on a free port, with its data in a temporary directory.

use std::sync::Arc;

use kube_server::{Client, NodeAgent, ServerConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub struct Server {
    pub inner: kube_server::Server,
    _data: TempDir,
}

pub async fn start(agent: Arc<dyn NodeAgent>) -> (Server, Client) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let data = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        data_dir: Some(data.path().to_owned()),
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        client_ca_pem: ca_pem,
        service_cidr: "10.100.0.0/16".to_owned(),
        service_account_issuer: "https://localhost".to_owned(),
        service_account_key_pem: KeyPair::generate().unwrap().serialize_pem(),
        advertise: None,
        token_file: None,
    };
    let inner = kube_server::Server::start(config).await.expect("the API starts");
    inner.set_node_agent(agent);
    let client = inner.client();
    (Server { inner, _data: data }, client)
}
