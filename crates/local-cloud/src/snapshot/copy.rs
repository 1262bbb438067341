//! Copies a data directory while its cloud stands still.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::SnapshotError;

/// Of this run of the cloud, of this machine, made again at every start or pulled again; relative to the data directory.
const LEFT_OUT: [&str; 6] = ["lock", "control.sock", "cloud.json", "cache", "sandbox", "images"];
/// PostgreSQL's record of a process that will not be there.
const POSTMASTER: &str = "postmaster.pid";
/// What crun remembers of containers that will not be there.
const CRUN: &str = "crun";
/// Records of programs by their process ids, with their environments: a second cloud made from the snapshot would take
/// the first one's running pods for its own. The logs of the runs lie among them.
const RUNS: &str = "containers";

/// What there is at a path. Modes are permission bits.
pub(super) enum Found {
    Folder { mode: u32 },
    File { mode: u32 },
    Link { target: String },
}

/// Copies files to the same paths below `to`, and says what there is by path below `from`, folders before their content.
pub(super) fn copy(from: &Path, to: &Path) -> Result<BTreeMap<String, Found>, SnapshotError> {
    let mut found = BTreeMap::new();
    folder(from, to, String::new(), &mut found)?;
    Ok(found)
}

fn folder(from: &Path, to: &Path, inside: String, found: &mut BTreeMap<String, Found>) -> Result<(), SnapshotError> {
    let metadata = fs::metadata(from).map_err(SnapshotError::io("read", from))?;
    // Ours alone, and to be removed again whatever the original's mode is.
    DirBuilder::new().mode(0o700).create(to).map_err(SnapshotError::io("make", to))?;
    for entry in fs::read_dir(from).map_err(SnapshotError::io("read", from))? {
        let entry = entry.map_err(SnapshotError::io("read", from))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| {
            SnapshotError::io("copy", &path)(io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8"))
        })?;
        if is_left_out(&inside, &name) {
            continue;
        }
        let below = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
        let metadata = fs::symlink_metadata(&path).map_err(SnapshotError::io("read", &path))?;
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            folder(&path, &to.join(&name), below, found)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(SnapshotError::io("read", &path))?;
            found.insert(below, Found::Link { target: target.display().to_string() });
        } else if metadata.is_file() {
            fs::copy(&path, to.join(&name)).map_err(SnapshotError::io("copy", &path))?;
            found.insert(below, Found::File { mode });
        }
        // Sockets and pipes are ends of processes that will not be there.
    }
    found.insert(inside, Found::Folder { mode: metadata.permissions().mode() & 0o777 });
    Ok(())
}

fn is_left_out(inside: &str, name: &str) -> bool {
    match inside.split('/').collect::<Vec<_>>().as_slice() {
        [""] => LEFT_OUT.contains(&name),
        ["postgres", _, "data"] => name == POSTMASTER,
        ["clusters", _, "kubelet"] => name == CRUN,
        ["clusters", _, "kubelet", "pods", _] => name == RUNS,
        _ => false,
    }
}
