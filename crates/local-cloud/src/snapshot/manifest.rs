//! The last entry of a snapshot: what it holds, with a checksum for each file.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Grows when an older program could not read a snapshot any more.
pub(super) const FORMAT: u32 = 1;
pub(super) const NAME: &str = "manifest.json";
/// Everything of the data directory lies below this folder of the archive.
pub(super) const CONTENT: &str = "data";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub format: u32,
    /// The version of the program that wrote it.
    pub marea: String,
    /// RFC 3339.
    pub created: String,
    /// By path below [`CONTENT`].
    pub files: BTreeMap<String, FileRecord>,
    /// Path → where the symbolic link leads.
    pub links: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new(created: String) -> Manifest {
        let marea = env!("CARGO_PKG_VERSION").to_owned();
        Manifest { format: FORMAT, marea, created, files: BTreeMap::new(), links: BTreeMap::new() }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            created: self.created.clone(),
            marea: self.marea.clone(),
            files: self.files.len(),
            bytes: self.files.values().map(|file| file.bytes).sum(),
        }
    }
}

/// What people are told of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// RFC 3339
    pub created: String,
    /// The version that wrote it.
    pub marea: String,
    pub files: usize,
    /// Before compression.
    pub bytes: u64,
}

/// Passes bytes through and sums them up.
pub(super) struct Summing<R> {
    inner: R,
    digest: Sha256,
    bytes: u64,
}

impl<R: Read> Summing<R> {
    pub(super) fn new(inner: R) -> Summing<R> {
        Summing { inner, digest: Sha256::new(), bytes: 0 }
    }

    pub(super) fn record(self) -> FileRecord {
        use std::fmt::Write as _;
        let mut sha256 = String::with_capacity(64);
        for byte in self.digest.finalize() {
            let _ = write!(sha256, "{byte:02x}");
        }
        FileRecord { bytes: self.bytes, sha256 }
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
