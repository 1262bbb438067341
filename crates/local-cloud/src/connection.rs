//! `cloud.json`: how the clients on this machine reach the running cloud.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::folder::{Folder, FolderError, write_private};

/// Contains a client secret; the file is 0600 and this type is not printable.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub pid: u32,
    /// `https://127.0.0.1:4443`
    pub arm_endpoint: String,
    /// `https://127.0.0.1:4443/`: the token endpoint's base.
    pub authority_host: String,
    pub tenant_id: String,
    pub subscription_id: String,
    pub client_id: String,
    pub client_secret: String,
    /// The authority of every certificate that the cloud shows.
    pub ca_file: PathBuf,
    /// Exists once a cluster does.
    pub kubeconfig: PathBuf,
    /// `http://127.0.0.1:8080`: the ingress.
    pub console_url: String,
    /// `sandbox` or `none`
    pub isolation: String,
}

impl Connection {
    /// The connection that a cloud of this directory last wrote; it may have ended since (see [`Connection::is_alive`]).
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn load(folder: &Folder) -> Result<Option<Connection>, FolderError> {
        let path = folder.connection();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| FolderError::Unreadable { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FolderError::io("read", &path)(error)),
        }
    }

    pub(crate) fn save(&self, folder: &Folder) -> Result<(), FolderError> {
        let path = folder.connection();
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| FolderError::Unreadable { path: path.clone(), reason: error.to_string() })?;
        write_private(&path, &text)
    }

    /// The process that wrote it, where it serves. The file outlives its writer: until a cloud that is just starting has
    /// written its own, the number may be anybody's.
    pub(crate) fn serving_pid(&self) -> Option<i32> {
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let serves = command.split(|byte| *byte == 0).any(|argument| argument == b"serve");
        i32::try_from(self.pid).ok().filter(|_| serves)
    }

    /// The file outlives a cloud that was killed; the directory's lock tells.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn is_alive(folder: &Folder) -> Result<bool, FolderError> {
        if !folder.root().exists() {
            return Ok(false);
        }
        folder.is_locked()
    }
}
