//! Single requests over TLS, with a token or without, for what no client library sends.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Cluster;

pub struct Http {
    address: SocketAddr,
    tls: TlsConnector,
    token: Option<String>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// How a request was answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Http {
    pub fn new(cluster: &Cluster, token: Option<String>) -> Http {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(cluster.authority.ca_pem().as_bytes()).expect("a certificate");
        roots.add(ca).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Http { address: cluster.server.address(), tls: TlsConnector::from(Arc::new(config)), token, connection: None }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = self.tls.connect(name, stream).await.expect("TLS");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        sender
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        media: &str,
        body: &str,
    ) -> hyper::Response<hyper::body::Incoming> {
        let mut idle = self.connection.take();
        if let Some(sender) = &mut idle
            && sender.ready().await.is_err()
        {
            idle = None;
        }
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await,
        };
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        request = request.header("content-type", media);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        self.connection = Some(sender);
        response
    }

    pub async fn send(&mut self, method: &str, path: &str, media: &str, body: &str) -> Answer {
        let response = self.exchange(method, path, media, body).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { code, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "application/json", "").await
    }

    /// How an answer that may have no end begins.
    pub async fn code(&mut self, method: &str, path: &str, media: &str, body: &str) -> u16 {
        let code = self.exchange(method, path, media, body).await.status().as_u16();
        self.connection = None;
        code
    }
}
