//! `PGHOSTADDR`: dial an address while TLS is verified against a name.
//!
//! sqlx derives the address to dial from the name to verify and offers no way to set both (0.9). It does verify the name
//! over a Unix socket too, so the address is put behind one: a socket in a private directory whose every connection is
//! carried to the address. Costs two copies per message, and only where names cannot be resolved.

use anyhow::Context as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Removes its directory when dropped.
#[derive(Debug)]
pub struct Relay {
    directory: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// # Errors
    /// When no private directory can be made under the temporary directory.
    pub fn start(target: SocketAddr) -> anyhow::Result<Relay> {
        let folder = roomy_folder(std::env::temp_dir());
        sweep(&folder);
        let name = format!("{PREFIX}{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let directory = folder.join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&directory).with_context(|| {
            format!(
                "cannot create {} for the connection to PostgreSQL; set TMPDIR to a writable directory",
                directory.display()
            )
        })?;
        let listener = UnixListener::bind(directory.join(format!(".s.PGSQL.{}", target.port())))?;
        let accepting = tokio::spawn(accept(listener, target));
        Ok(Relay { directory, accepting })
    }

    /// What libpq calls a socket directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

const PREFIX: &str = "marea-pg-";

/// Removes what replicas left behind that were killed: where pods are plain processes they share the temporary directory.
/// A directory is named after its process, and one that lives keeps its own.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            // Somebody else's, or another replica was faster.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A Unix socket's address holds 107 bytes, and a pod's temporary directory may be deeper than that where pods are plain
/// processes of the host.
fn roomy_folder(preferred: PathBuf) -> PathBuf {
    const SOCKET_ADDRESS_BYTES: usize = 107;
    const OWN_NAMES_BYTES: usize = "/marea-pg-4294967295-00000000000000000000000000000000/.s.PGSQL.65535".len();
    if preferred.as_os_str().len() + OWN_NAMES_BYTES <= SOCKET_ADDRESS_BYTES {
        preferred
    } else {
        PathBuf::from("/tmp")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn accept(listener: UnixListener, target: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(carry(client, target))),
            // Out of file descriptors, most likely: others must close first.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a database connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn carry(mut client: UnixStream, target: SocketAddr) {
    match TcpStream::connect(target).await {
        Ok(mut server) => {
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        Err(error) => tracing::warn!(%error, "PostgreSQL does not accept a connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_replica_left_is_removed_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        // Beyond what Linux gives to a process.
        let dead = folder.path().join(format!("{PREFIX}4194305-x"));
        let living = folder.path().join(format!("{PREFIX}{}-x", std::process::id()));
        let other = folder.path().join("marea-something");
        for path in [&dead, &living, &other] {
            std::fs::create_dir(path).expect("created");
        }
        sweep(folder.path());
        assert_eq!([dead.exists(), living.exists(), other.exists()], [false, true, true]);
    }

    #[test]
    fn a_deep_temporary_directory_is_not_used() {
        let deep = PathBuf::from(format!("/{}", "d".repeat(90)));
        assert_eq!(roomy_folder(deep), PathBuf::from("/tmp"));
        assert_eq!(roomy_folder(PathBuf::from("/run/user/1000")), PathBuf::from("/run/user/1000"));
    }
}
