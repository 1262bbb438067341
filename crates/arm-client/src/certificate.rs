//! The proof that a service principal with a certificate signs.
//!
//! `azure_identity`'s own certificate credential needs OpenSSL and takes PKCS#12 only; its assertion credential takes what is made here from the
//! PEM file that `az ad sp create-for-rbac --create-cert` writes.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pemfile::Item;

use crate::error::ArmClientError;

/// Entra refuses assertions that live longer than a day and advises five to ten minutes.
const LIFETIME_SECONDS: u64 = 600;

/// Signs a new assertion for every token.
pub(crate) struct CertificateAssertion {
    client_id: String,
    /// The token endpoint.
    audience: String,
    /// Base64url of the certificate's SHA-256.
    thumbprint: String,
    key: RsaKeyPair,
}

/// The key never shows up in debug output.
impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAssertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl CertificateAssertion {
    /// `file` holds the certificate and its RSA key in PEM, in any order.
    pub fn read(file: &Path, client_id: &str, audience: String) -> Result<CertificateAssertion, ArmClientError> {
        let wrong = |what: &str| {
            ArmClientError::Configuration(format!("AZURE_CLIENT_CERTIFICATE_PATH names {}, {what}", file.display()))
        };
        let bytes = std::fs::read(file).map_err(|error| wrong(&format!("which cannot be read: {error}")))?;
        let (certificate, key) = parse(&bytes).map_err(wrong)?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &certificate));
        Ok(CertificateAssertion { client_id: client_id.to_owned(), audience, thumbprint, key })
    }

    fn sign(&self, now_seconds: u64) -> Result<String, Error> {
        let failed = |_| Error::with_message(ErrorKind::Credential, "the certificate's key could not sign");
        let random = SystemRandom::new();
        let mut id = [0_u8; 16];
        aws_lc_rs::rand::SecureRandom::fill(&random, &mut id).map_err(failed)?;
        let header = serde_json::json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = serde_json::json!({
            "aud": self.audience, "iss": self.client_id, "sub": self.client_id, "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now_seconds, "iat": now_seconds, "exp": now_seconds + LIFETIME_SECONDS,
        });
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature).map_err(failed)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The first certificate and the key, or what is wrong with the file.
fn parse(bytes: &[u8]) -> Result<(Vec<u8>, RsaKeyPair), &'static str> {
    const CONVERT: &str =
        "which is no PEM file; `openssl pkcs12 -in FILE.pfx -nodes -out FILE.pem` makes one of PKCS#12";
    let text = std::str::from_utf8(bytes).map_err(|_| CONVERT)?;
    if text.contains("ENCRYPTED") {
        return Err("whose key is encrypted; `openssl rsa -in FILE -out KEY` takes the password away");
    }
    let (mut certificate, mut key) = (None, None);
    for item in rustls_pemfile::read_all(&mut text.as_bytes()) {
        match item.map_err(|_| "which is no valid PEM file")? {
            Item::X509Certificate(der) => {
                certificate.get_or_insert(der.to_vec());
            }
            Item::Pkcs8Key(der) => key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok().or(key),
            Item::Pkcs1Key(der) => key = RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().or(key),
            _ => {}
        }
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok((certificate, key)),
        (None, None) => Err(CONVERT),
        (None, _) => Err("which holds no certificate"),
        (_, None) => Err("which holds no RSA private key"),
    }
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
        self.sign(now.map_err(|error| Error::with_message(ErrorKind::Credential, error.to_string()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_usable_key_says_what_it_lacks() {
        let check = |bytes: &[u8], expected: &str| {
            let folder = std::env::temp_dir().join(format!("marea-certificate-{}", std::process::id()));
            std::fs::write(&folder, bytes).unwrap();
            let error = CertificateAssertion::read(&folder, "client", String::new()).unwrap_err().to_string();
            std::fs::remove_file(&folder).unwrap();
            assert!(error.contains(expected), "{error}");
        };
        check(&[0x30, 0x82, 0xff], "no PEM file; `openssl pkcs12");
        check(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "is encrypted");
        check(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "no RSA private key");
    }
}
