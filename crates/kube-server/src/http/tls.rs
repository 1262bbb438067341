//! The TLS side: the server's certificate, and optional client certificates.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::error::ApiError;

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(ApiError::internal(format!("{what} is not a PEM with certificates"))),
    }
}

pub fn acceptor(certificate_pem: &str, key_pem: &str, client_ca_pem: &str) -> Result<TlsAcceptor, ApiError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(client_ca_pem, "the client CA")? {
        roots.add(certificate).map_err(|error| ApiError::internal(format!("the client CA cannot be used: {error}")))?;
    }
    // A request without a certificate may carry a token, so that the handshake must not insist on one.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(ApiError::internal)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| ApiError::internal("the server's key is not a PEM with a private key"))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ApiError::internal)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate_pem, "the server's certificate")?, key)
        .map_err(|error| ApiError::internal(format!("the server's certificate and key cannot be used: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
