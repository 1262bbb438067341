//! Takes a snapshot.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use time::OffsetDateTime;

use super::SnapshotError;
use super::copy::{self, Found};
use super::manifest::{CONTENT, Manifest, NAME, Summary, Summing};
use super::still::Still;
use crate::folder::Folder;

/// Copies the cloud of `folder` into a new file that only its user can read. The cloud stands still for the copying alone,
/// not for summing up and compressing; the copy lies beside the file meanwhile.
///
/// # Errors
/// When there is no cloud, the file exists already, or something cannot be read or written; no file is left then.
pub fn take(folder: &Folder, file: &Path) -> Result<Taken, SnapshotError> {
    if !folder.identity().exists() {
        return Err(SnapshotError::Nothing(folder.root().to_owned()));
    }
    if file.symlink_metadata().is_ok() {
        return Err(SnapshotError::Exists(file.to_owned()));
    }
    let scratch = scratch_of(folder, file)?;
    let copy = scratch.with_extension("copying");
    let outcome = write(folder, &scratch, &copy).and_then(|taken| {
        fs::rename(&scratch, file).map_err(SnapshotError::io("make", file))?;
        Ok(taken)
    });
    // What is half written serves nobody.
    let _ = fs::remove_dir_all(&copy);
    if outcome.is_err() {
        let _ = fs::remove_file(&scratch);
    }
    outcome
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub summary: Summary,
    /// For how long the cloud stood still.
    pub still: Duration,
}

/// Beside its final name, so that a reader never sees half of it.
fn scratch_of(folder: &Folder, file: &Path) -> Result<PathBuf, SnapshotError> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let absolute = parent.canonicalize().map_err(SnapshotError::io("use", parent))?;
    let root = folder.root().canonicalize().map_err(SnapshotError::io("use", folder.root()))?;
    if absolute.starts_with(root) {
        return Err(SnapshotError::Inside(file.to_owned()));
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".writing");
    Ok(absolute.join(name))
}

fn write(folder: &Folder, scratch: &Path, place: &Path) -> Result<Taken, SnapshotError> {
    // Left by a run that was killed.
    let _ = (fs::remove_file(scratch), fs::remove_dir_all(place));
    let output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(scratch);
    let output = output.map_err(SnapshotError::io("make", scratch))?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let created = units::Timestamp::from_secs(now).rfc3339();
    let still = Still::hold(folder)?.ok_or_else(|| SnapshotError::Busy(folder.root().to_owned()))?;
    let started = Instant::now();
    let content = copy::copy(folder.root(), place)?;
    drop(still);
    let still = started.elapsed();
    let mut archive = Archive {
        tar: Builder::new(GzEncoder::new(output, Compression::fast())),
        manifest: Manifest::new(created),
        path: scratch,
    };
    for (inside, found) in content {
        archive.add(place, inside, found)?;
    }
    Ok(Taken { summary: archive.finish()?, still })
}

struct Archive<'a> {
    tar: Builder<GzEncoder<File>>,
    manifest: Manifest,
    path: &'a Path,
}

impl Archive<'_> {
    /// `inside` is the path below the data directory, empty for itself.
    fn add(&mut self, copy: &Path, inside: String, found: Found) -> Result<(), SnapshotError> {
        match found {
            Found::Folder { mode } => self.append(&name_of(&inside), EntryType::Directory, mode, 0, &mut io::empty()),
            Found::Link { target } => {
                self.manifest.links.insert(inside, target);
                Ok(())
            }
            Found::File { mode } => {
                let path = copy.join(&inside);
                let file = File::open(&path).map_err(SnapshotError::io("read", &path))?;
                let bytes = file.metadata().map_err(SnapshotError::io("read", &path))?.len();
                let mut summing = Summing::new(file);
                self.append(&name_of(&inside), EntryType::Regular, mode, bytes, &mut summing)?;
                self.manifest.files.insert(inside, summing.record());
                Ok(())
            }
        }
    }

    fn append(
        &mut self,
        name: &str,
        kind: EntryType,
        mode: u32,
        bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), SnapshotError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode & 0o777);
        header.set_size(bytes);
        self.tar.append_data(&mut header, name, content).map_err(SnapshotError::io("write", self.path))
    }

    fn finish(mut self) -> Result<Summary, SnapshotError> {
        let text = serde_json::to_vec(&self.manifest)
            .map_err(|error| SnapshotError::io("write", self.path)(io::Error::other(error)))?;
        self.append(NAME, EntryType::Regular, 0o600, text.len() as u64, &mut text.as_slice())?;
        let path = self.path;
        let end = || -> io::Result<()> {
            let mut output = self.tar.into_inner()?.finish()?;
            output.flush()?;
            output.sync_all()
        };
        end().map_err(SnapshotError::io("write", path))?;
        Ok(self.manifest.summary())
    }
}

fn name_of(inside: &str) -> String {
    if inside.is_empty() { CONTENT.to_owned() } else { format!("{CONTENT}/{inside}") }
}
