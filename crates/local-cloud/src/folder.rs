//! The data directory: everything that the embedded cloud owns lies below it, readable by its user alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} holds something that is not readable: {reason}; `marea local reset` starts afresh", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error(
        "neither MAREA_DATA_DIR, XDG_DATA_HOME nor HOME is set: say with MAREA_DATA_DIR where the cloud keeps its data"
    )]
    NoHome,
}

impl FolderError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FolderError {
        let path = path.to_owned();
        move |source| FolderError::Io { action, path, source }
    }
}

/// Sixteen digits that tell a folder from others where its path would be too long for a name (FNV-1a).
pub(crate) fn digits_of(folder: &Path) -> String {
    let bytes = folder.as_os_str().as_encoded_bytes().iter();
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Paths inside the data directory.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn new(root: impl Into<PathBuf>) -> Folder {
        Folder { root: root.into() }
    }

    /// `$MAREA_DATA_DIR`, else `$XDG_DATA_HOME/marea`, else `~/.local/share/marea`.
    ///
    /// # Errors
    /// When none of the variables is set.
    pub fn by_environment() -> Result<Folder, FolderError> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        variable("MAREA_DATA_DIR")
            .or_else(|| variable("XDG_DATA_HOME").map(|base| base.join("marea")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/share/marea")))
            .map(Folder::new)
            .ok_or(FolderError::NoHome)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a running cloud tells its clients.
    pub fn connection(&self) -> PathBuf {
        self.root.join("cloud.json")
    }

    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    pub fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    pub fn arm(&self) -> PathBuf {
        self.root.join("arm")
    }

    pub fn cluster(&self, name: &str) -> PathBuf {
        self.root.join("clusters").join(name)
    }

    /// Pulled images and their unpacked files, of all clusters.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub fn postgres(&self, server: &str) -> PathBuf {
        self.root.join("postgres").join(server)
    }

    /// The initialised empty database that new servers start from; beside the data directory's own life, so that
    /// `marea local reset` does not throw away what takes a second to make.
    pub fn postgres_template(&self) -> PathBuf {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        cache
            .or_else(home)
            .map_or_else(|| self.root.join("cache"), |cache| cache.join("marea"))
            .join("postgres-template")
    }

    /// The holder's record and the mount point of what only its namespaces see.
    pub fn sandbox(&self) -> PathBuf {
        self.root.join("sandbox")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("cloud.log")
    }

    /// # Errors
    /// When the directory cannot be made.
    pub fn create(&self) -> Result<(), FolderError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(FolderError::io("make", &self.root))
    }

    /// Held by the one process that serves this directory; `None` while another one does, and for an instant while somebody
    /// looks ([`Folder::is_locked`]) or what is left of a killed one ends.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn lock(&self) -> Result<Option<Lock>, FolderError> {
        let file = self.lock_file()?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(Lock { _file: file }))
    }

    /// Whether somebody holds [`Folder::lock`]. Those who look share it, so that they do not take each other for the holder.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn is_locked(&self) -> Result<bool, FolderError> {
        Ok(flock(&self.lock_file()?, FlockOperation::NonBlockingLockShared).is_err())
    }

    fn lock_file(&self) -> Result<File, FolderError> {
        self.create()?;
        let path = self.root.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        file.map_err(FolderError::io("open", &path))
    }
}

/// The kernel releases it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Replaces a file so that a reader or a crash sees the old or the new content, never half of one; 0600.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    let scratch = path.with_extension("writing");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
        file.write_all(content)?;
        file.sync_data()?;
        std::fs::rename(&scratch, path)
    };
    write().map_err(FolderError::io("write", path))
}

/// Everything below a folder, with what may be missing already.
///
/// # Errors
/// When something cannot be removed.
pub(crate) fn remove_all(path: &Path) -> Result<(), FolderError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(FolderError::io("remove", path)(source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_serves_a_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("data"));
        let lock = folder.lock().unwrap();
        assert!(lock.is_some());
        assert!(folder.lock().unwrap().is_none());
        assert!(folder.is_locked().unwrap());
        drop(lock);
        assert!(!folder.is_locked().unwrap());
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn those_who_look_are_not_taken_for_the_one_who_serves() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("data"));
        let looking = folder.lock_file().unwrap();
        flock(&looking, FlockOperation::NonBlockingLockShared).unwrap();
        assert!(!folder.is_locked().unwrap());
    }
}
