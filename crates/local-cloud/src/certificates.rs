//! The cloud's own certificate authority, and what it issues.
//!
//! Leaves are never authorities: rustls refuses a certificate that is both (`CaUsedAsEndEntity`).

use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::folder::{FolderError, write_private};

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot make a certificate for {subject}")]
    Issue {
        subject: String,
        #[source]
        source: rcgen::Error,
    },
}

/// A certificate with its private key, both PEM. Not printable: the key is a secret.
#[derive(Clone)]
pub struct Leaf {
    pub certificate_pem: String,
    pub key_pem: String,
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

const VALID_DAYS: i64 = 3650;

impl Authority {
    /// The authority kept in a folder, made on first use.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds something else.
    pub fn open(folder: &Path) -> Result<Authority, CertificateError> {
        let (certificate, key) = (folder.join("ca.crt"), folder.join("ca.key"));
        if !certificate.exists() {
            std::fs::create_dir_all(folder).map_err(FolderError::io("make", folder))?;
            let (certificate_pem, key_pem) = make_authority()?;
            write_private(&key, key_pem.as_bytes())?;
            // Last, because its presence says that both are there.
            write_private(&certificate, certificate_pem.as_bytes())?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).map_err(FolderError::io("read", path));
        let (certificate_pem, key_pem) = (read(&certificate)?, read(&key)?);
        let unreadable = |error: rcgen::Error| FolderError::Unreadable { path: key.clone(), reason: error.to_string() };
        let key_pair = KeyPair::from_pem(&key_pem).map_err(unreadable)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key_pair).map_err(unreadable)?;
        Ok(Authority { issuer, certificate_pem })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A server's certificate for names and addresses.
    ///
    /// # Errors
    /// When a name is not a DNS name.
    pub fn server(&self, names: &[&str], addresses: &[IpAddr]) -> Result<Leaf, CertificateError> {
        let subject = names.first().copied().unwrap_or("marea");
        let mut params = parameters(subject, &[], ExtendedKeyUsagePurpose::ServerAuth);
        for name in names {
            let name =
                (*name).try_into().map_err(|source| CertificateError::Issue { subject: subject.to_owned(), source })?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        self.issue(subject, params)
    }

    /// A client's certificate: Kubernetes reads the user from the common name and groups from the organisations.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Leaf, CertificateError> {
        self.issue(user, parameters(user, groups, ExtendedKeyUsagePurpose::ClientAuth))
    }

    fn issue(&self, subject: &str, params: CertificateParams) -> Result<Leaf, CertificateError> {
        let failed = |source| CertificateError::Issue { subject: subject.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn parameters(common_name: &str, organisations: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    for organisation in organisations {
        subject.push(DnType::OrganizationName, *organisation);
    }
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params);
    params
}

/// Yesterday's start forgives a clock that was set back a little.
fn set_validity(params: &mut CertificateParams) {
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(VALID_DAYS);
}

fn make_authority() -> Result<(String, String), CertificateError> {
    let subject = "marea embedded cloud";
    let failed = |source| CertificateError::Issue { subject: subject.to_owned(), source };
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject);
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_made_once_and_issues_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(&folder.path().join("authority")).unwrap();
        let again = Authority::open(&folder.path().join("authority")).unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let server = again.server(&["kubernetes.default.svc"], &[IpAddr::from([127, 0, 0, 1])]).unwrap();
        assert!(server.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(again.client("clusterAdmin", &["system:masters"]).is_ok());
        assert!(again.server(&["ñ"], &[]).is_err());
    }

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        let mode = std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
