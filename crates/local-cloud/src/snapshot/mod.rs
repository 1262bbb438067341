//! A whole cloud in one file: `marea local snapshot` and `marea local restore`.
//!
//! A cloud that runs stands still while it is copied: its process, its databases and its pods are stopped (SIGSTOP), so that the
//! copy is what a `kill -9` of everything at that instant would leave behind, and every store recovers from that. Restoring
//! unpacks beside the data directory, checks every file, and only then puts the new directory in place of the old.

mod copy;
mod manifest;
mod restore;
mod still;
mod write;

use std::path::{Path, PathBuf};

pub use manifest::Summary;
pub use restore::{Verified, restore, verify};
pub use write::{Taken, take};

use crate::folder::FolderError;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("there is no local cloud in {}", .0.display())]
    Nothing(PathBuf),
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    #[error("{} lies in the data directory that it is to hold", .0.display())]
    Inside(PathBuf),
    #[error("a local cloud runs in {}", .0.display())]
    Running(PathBuf),
    #[error("another process uses {} at this moment", .0.display())]
    Busy(PathBuf),
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not a whole snapshot: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} has format {found}, and this version reads format {}", path.display(), manifest::FORMAT)]
    Format { path: PathBuf, found: u32 },
}

impl SnapshotError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
        let path = path.to_owned();
        move |source| SnapshotError::Io { action, path, source }
    }

    fn damaged(path: &Path, reason: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
