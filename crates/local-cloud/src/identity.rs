//! What makes one embedded cloud itself over restarts: its tenant, its subscription, its credentials, its ports.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::folder::{Folder, FolderError, write_private};

/// Ports that were free once are asked for again, so that bookmarks and kubeconfigs stay valid; 0 asks for any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    pub arm: u16,
    pub http: u16,
    pub clusters: std::collections::BTreeMap<String, u16>,
}

/// Holds a secret and is therefore not printable.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    pub tenant_id: Uuid,
    pub subscription_id: Uuid,
    pub client_id: Uuid,
    pub client_secret: String,
    /// Signs ARM's tokens.
    pub signing_key: String,
    /// The loopback networks that this cloud's objects carry.
    pub slot: Option<u8>,
    /// `sandbox` or `none`: the mode whose addresses this cloud's objects carry.
    #[serde(default)]
    pub isolation: Option<String>,
    #[serde(default)]
    pub ports: Ports,
}

/// Where a browser finds the console unless something else has the port.
pub const PREFERRED_HTTP_PORT: u16 = 8080;

impl Identity {
    /// The identity of a data directory, made on first use.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(folder: &Folder) -> Result<Identity, FolderError> {
        folder.create()?;
        let path = folder.identity();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| FolderError::Unreadable { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Identity::new();
                identity.save(folder)?;
                Ok(identity)
            }
            Err(error) => Err(FolderError::io("read", &path)(error)),
        }
    }

    fn new() -> Identity {
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Identity {
            tenant_id: Uuid::new_v4(),
            subscription_id: Uuid::new_v4(),
            client_id: Uuid::new_v4(),
            client_secret: secret(),
            signing_key: secret(),
            slot: None,
            isolation: None,
            ports: Ports { http: PREFERRED_HTTP_PORT, ..Ports::default() },
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, folder: &Folder) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| FolderError::Unreadable { path: folder.identity(), reason: error.to_string() })?;
        write_private(&folder.identity(), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_lasts() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let mut first = Identity::open(&folder).unwrap();
        first.ports.arm = 4443;
        first.save(&folder).unwrap();
        let again = Identity::open(&folder).unwrap();
        assert_eq!((again.subscription_id, &again.ports), (first.subscription_id, &first.ports));
        std::fs::write(folder.identity(), "{").unwrap();
        let error = Identity::open(&folder).err().unwrap().to_string();
        assert!(error.contains("marea local reset"), "{error}");
    }
}
