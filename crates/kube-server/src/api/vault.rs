//! Secrets at rest: AES-256-GCM with a key that lies beside the store, readable by its owner only.
//!
//! Whoever copies the store without the key (a backup of one file, a crash report, a stray disk image) has no secrets. The
//! row's name is authenticated with its content, so that rows cannot be exchanged.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::error::ApiError;

const FILE: &str = "kubernetes.key";
const KEY_BYTES: usize = 32;
/// No JSON document begins like this.
const SEALED: &[u8] = b"aes256gcm:1:";

/// Nonces are random: one key is good for 2³² rows, which is more than a local cluster writes in its life.
pub struct Vault(RandomizedNonceKey);

pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(SEALED)
}

impl Vault {
    fn with_key(key: &[u8]) -> Result<Vault, ApiError> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Vault)
            .map_err(|_| ApiError::internal(format!("{FILE} does not hold a key of {KEY_BYTES} bytes")))
    }

    /// A new key, kept by nobody.
    pub fn generate() -> Result<([u8; KEY_BYTES], Vault), ApiError> {
        let mut key = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| ApiError::internal("this machine gives no random numbers"))?;
        Ok((key, Vault::with_key(&key)?))
    }

    /// The key of this directory; `None` where there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn read(dir: &Path) -> Result<Option<Vault>, ApiError> {
        match std::fs::read(path(dir)) {
            Ok(key) => Vault::with_key(&key).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ApiError::internal(format!("cannot read {}: {error}", path(dir).display()))),
        }
    }

    /// Makes a key and keeps it: on disk, with its directory entry, before anything is sealed with it.
    ///
    /// # Errors
    /// When the file is there already or cannot be written.
    pub fn create(dir: &Path) -> Result<Vault, ApiError> {
        let (key, vault) = Vault::generate()?;
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path(dir))?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::File::open(dir)?.sync_all()
        };
        write().map_err(|error| ApiError::internal(format!("cannot write {}: {error}", path(dir).display())))?;
        Ok(vault)
    }

    /// # Errors
    /// Never for what fits into memory.
    pub fn seal(&self, row: &str, bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
        let mut sealed = bytes.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(row.as_bytes()), &mut sealed)
            .map_err(|_| ApiError::internal("a secret cannot be encrypted"))?;
        Ok([SEALED, nonce.as_ref(), &sealed].concat())
    }

    /// # Errors
    /// When the bytes were sealed with another key, for another row, or are damaged.
    pub fn open(&self, row: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let wrong = || "is not encrypted with this cluster's key".to_owned();
        let rest = sealed.strip_prefix(SEALED).ok_or_else(wrong)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut bytes = rest.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(row.as_bytes()), &mut bytes).map_err(|_| wrong())?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_row_and_key_open_a_seal() {
        let (_, vault) = Vault::generate().unwrap();
        let sealed = vault.seal("secrets\0a\0b", b"{\"x\":1}").unwrap();
        assert!(is_sealed(&sealed) && !sealed.windows(3).any(|part| part == b"\"x\""));
        assert_eq!(vault.open("secrets\0a\0b", &sealed).unwrap(), b"{\"x\":1}");
        assert!(vault.open("secrets\0a\0c", &sealed).is_err());
        let (_, other) = Vault::generate().unwrap();
        assert!(other.open("secrets\0a\0b", &sealed).is_err());
        for cut in [0, SEALED.len(), SEALED.len() + NONCE_LEN, sealed.len() - 1] {
            assert!(vault.open("secrets\0a\0b", &sealed[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        assert!(Vault::read(dir.path()).unwrap().is_none());
        let sealed = Vault::create(dir.path()).unwrap().seal("r", b"text").unwrap();
        assert!(Vault::create(dir.path()).is_err(), "a key is never replaced");
        assert_eq!(std::fs::metadata(path(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Vault::read(dir.path()).unwrap().unwrap().open("r", &sealed).unwrap(), b"text");
        std::fs::write(path(dir.path()), b"short").unwrap();
        assert!(Vault::read(dir.path()).is_err());
    }
}
