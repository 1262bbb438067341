//! Rows of the store, encrypted: AES-256-GCM under a key derived from the cloud's own, bound to the row's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

/// First byte of a sealed row. Rows of older versions are bare JSON and begin with a bracket.
const SEALED: u8 = 1;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("the key of the store cannot be made")]
    Key,
    #[error("the row `{0}` cannot be encrypted")]
    Close(String),
    #[error("the row `{0}` does not open: it was changed, or the cloud's key is not the one it was written with")]
    Open(String),
}

pub(crate) struct Seal {
    key: RandomizedNonceKey,
}

impl Seal {
    /// `secret` is the cloud's signing key; what is derived from it serves no other purpose.
    pub fn derived_from(secret: &[u8]) -> Result<Seal, SealError> {
        let mut key = [0; 32];
        let derived = Salt::new(HKDF_SHA256, b"marea embedded ARM").extract(secret);
        let derived = derived.expand(&[b"store v1"], HKDF_SHA256).map_err(|_| SealError::Key)?;
        derived.fill(&mut key).map_err(|_| SealError::Key)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(|key| Seal { key }).map_err(|_| SealError::Key)
    }

    /// The place is authenticated with the row, so that rows cannot be swapped.
    pub fn close(&self, place: &str, mut row: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut row)
            .map_err(|_| SealError::Close(place.to_owned()))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + row.len());
        sealed.push(SEALED);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut row);
        Ok(sealed)
    }

    pub fn open(&self, place: &str, stored: &[u8]) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Open(place.to_owned());
        let Some((&SEALED, rest)) = stored.split_first() else { return Ok(stored.to_vec()) };
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut row = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut row).map_err(|_| broken())?.len();
        row.truncate(length);
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_in_its_place_with_its_key_and_unchanged() {
        let seal = Seal::derived_from(&[7; 32]).unwrap();
        let sealed = seal.close("resources\0x", b"{\"password\":\"canary\"}".to_vec()).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_eq!(seal.open("resources\0x", &sealed).unwrap(), b"{\"password\":\"canary\"}");
        assert!(seal.open("resources\0y", &sealed).is_err());
        assert!(Seal::derived_from(&[8; 32]).unwrap().open("resources\0x", &sealed).is_err());
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open("resources\0x", &changed).is_err(), "byte {at}");
        }
        assert!(seal.open("resources\0x", &sealed[..5]).is_err());
    }

    #[test]
    fn rows_of_older_versions_are_read() {
        let seal = Seal::derived_from(&[7; 32]).unwrap();
        assert_eq!(seal.open("meta\0meta", b"{}").unwrap(), b"{}");
    }
}
