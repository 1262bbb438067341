//! Puts a snapshot in a data directory's place.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::SnapshotError;
use super::manifest::{CONTENT, FORMAT, FileRecord, Manifest, NAME, Summary, Summing};
use crate::daemon;
use crate::folder::Folder;

/// A manifest of a million files; anything longer is not one.
const LONGEST_MANIFEST: u64 = 256 << 20;

/// A snapshot that was read to its end, checked, and unpacked beside the data directory. Dropping it removes that again.
pub struct Verified {
    staging: PathBuf,
    pub summary: Summary,
}

impl Drop for Verified {
    fn drop(&mut self) {
        // After the exchange this is what was there before.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

/// Unpacks the snapshot beside the data directory and checks it. Nothing of the data directory changes.
///
/// # Errors
/// When a cloud runs there, or the file is not a whole snapshot of a known format.
pub fn verify(folder: &Folder, file: &Path) -> Result<Verified, SnapshotError> {
    if folder.root().exists() && folder.lock()?.is_none() {
        return Err(SnapshotError::Running(folder.root().to_owned()));
    }
    let input = File::open(file).map_err(SnapshotError::io("read", file))?;
    let staging = staging_of(folder)?;
    // Left by a run that was killed.
    let _ = fs::remove_dir_all(&staging);
    DirBuilder::new().mode(0o700).create(&staging).map_err(SnapshotError::io("make", &staging))?;
    let mut verified =
        Verified { staging, summary: Summary { created: String::new(), marea: String::new(), files: 0, bytes: 0 } };
    let manifest = Unpacking::new(file, &verified.staging).run(input)?;
    verified.summary = manifest.summary();
    Ok(verified)
}

/// Ends what a killed cloud left running there and puts the snapshot in the data directory's place, in one step.
///
/// # Errors
/// When a cloud has been started meanwhile or the directory cannot be replaced; the old one is there then as it was.
pub async fn restore(folder: &Folder, verified: Verified) -> Result<Summary, SnapshotError> {
    let root = folder.root();
    let Some(_lock) = folder.lock()? else { return Err(SnapshotError::Running(root.to_owned())) };
    daemon::stop_orphans(folder).await;
    let parent = verified.staging.parent().unwrap_or(Path::new("."));
    // On disk before it is what counts.
    let sync = |path: &Path| File::open(path).and_then(|file| Ok(rustix::fs::syncfs(file)?));
    sync(&verified.staging).map_err(SnapshotError::io("write", &verified.staging))?;
    exchange(&verified.staging, root).map_err(SnapshotError::io("replace", root))?;
    sync(parent).map_err(SnapshotError::io("write", parent))?;
    Ok(verified.summary.clone())
}

/// Puts each of two folders where the other one was.
fn exchange(staging: &Path, root: &Path) -> io::Result<()> {
    match renameat_with(CWD, staging, CWD, root, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(()),
        // Not every file system can (NFS, 9p): then there is a moment with neither.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let aside = staging.with_extension("replaced");
    fs::rename(root, &aside)?;
    if let Err(error) = fs::rename(staging, root) {
        fs::rename(&aside, root)?;
        return Err(error);
    }
    fs::rename(&aside, staging)
}

fn staging_of(folder: &Folder) -> Result<PathBuf, SnapshotError> {
    let root = folder.root();
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(SnapshotError::io("make", parent))?;
    let mut name = root.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    Ok(parent.join(name))
}

struct Unpacking<'a> {
    file: &'a Path,
    staging: &'a Path,
    found: BTreeMap<String, FileRecord>,
    manifest: Option<Manifest>,
    /// Set last, since a folder may be one that cannot be written to.
    folder_modes: Vec<(PathBuf, u32)>,
}

impl<'a> Unpacking<'a> {
    fn new(file: &'a Path, staging: &'a Path) -> Unpacking<'a> {
        Unpacking { file, staging, found: BTreeMap::new(), manifest: None, folder_modes: Vec::new() }
    }

    fn run(mut self, input: File) -> Result<Manifest, SnapshotError> {
        let mut archive = Archive::new(GzDecoder::new(BufReader::new(input)));
        for entry in archive.entries().map_err(|error| self.unreadable(&error))? {
            let entry = entry.map_err(|error| self.unreadable(&error))?;
            if self.manifest.is_some() {
                return Err(self.damaged("something follows its end"));
            }
            self.entry(entry)?;
        }
        // Reads the rest, with the checksum of the whole.
        let mut rest = archive.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(|error| self.unreadable(&error))?;
        let manifest = self.manifest.take().ok_or_else(|| self.damaged("its end is missing"))?;
        self.compare(&manifest)?;
        // Last, so that no file was written through one.
        for (path, target) in &manifest.links {
            let mut above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
            if above.any(|folder| manifest.links.contains_key(folder)) {
                return Err(self.damaged(format!("{path} leads out of it")));
            }
            let place = self.place(Path::new(path))?;
            symlink(target, &place).map_err(SnapshotError::io("make", &place))?;
        }
        for (path, mode) in self.folder_modes.iter().rev() {
            fs::set_permissions(path, Permissions::from_mode(*mode)).map_err(SnapshotError::io("protect", path))?;
        }
        Ok(manifest)
    }

    fn entry(&mut self, mut entry: Entry<'_, GzDecoder<BufReader<File>>>) -> Result<(), SnapshotError> {
        let path = entry.path().map_err(|error| self.unreadable(&error))?.into_owned();
        let mode = entry.header().mode().map_err(|error| self.unreadable(&error))? & 0o777;
        let kind = entry.header().entry_type();
        if path == Path::new(NAME) {
            self.manifest = Some(self.read_manifest(&mut entry)?);
            return Ok(());
        }
        let inside =
            path.strip_prefix(CONTENT).map_err(|_| self.damaged(format!("{} is not of it", path.display())))?;
        match kind {
            EntryType::Directory if inside.as_os_str().is_empty() => Ok(()),
            EntryType::Directory => {
                let place = self.place(inside)?;
                DirBuilder::new().mode(0o700).create(&place).map_err(SnapshotError::io("make", &place))?;
                self.folder_modes.push((place, mode));
                Ok(())
            }
            EntryType::Regular => {
                let place = self.place(inside)?;
                let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&place);
                let mut output = open.map_err(SnapshotError::io("make", &place))?;
                let mut summing = Summing::new(&mut entry);
                let copied = io::copy(&mut summing, &mut output);
                copied.map_err(|error| match error.kind() {
                    // The disk's trouble, not the file's.
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        SnapshotError::io("write", &place)(error)
                    }
                    _ => self.unreadable(&error),
                })?;
                self.found.insert(inside.display().to_string(), summing.record());
                Ok(())
            }
            _ => Err(self.damaged(format!("{} is of no kind that belongs into it", path.display()))),
        }
    }

    fn read_manifest(&self, entry: &mut impl Read) -> Result<Manifest, SnapshotError> {
        #[derive(serde::Deserialize)]
        struct OnlyFormat {
            format: u32,
        }
        let mut text = Vec::new();
        entry.take(LONGEST_MANIFEST).read_to_end(&mut text).map_err(|error| self.unreadable(&error))?;
        let unreadable = |error: serde_json::Error| self.damaged(format!("{NAME}: {error}"));
        let OnlyFormat { format } = serde_json::from_slice(&text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(SnapshotError::Format { path: self.file.to_owned(), found: format });
        }
        serde_json::from_slice(&text).map_err(unreadable)
    }

    fn compare(&self, manifest: &Manifest) -> Result<(), SnapshotError> {
        for (path, expected) in &manifest.files {
            match self.found.get(path) {
                None => return Err(self.damaged(format!("{path} is missing"))),
                Some(found) if found != expected => {
                    return Err(self.damaged(format!("{path} is not what was written")));
                }
                Some(_) => {}
            }
        }
        match self.found.keys().find(|path| !manifest.files.contains_key(*path)) {
            Some(path) => Err(self.damaged(format!("{path} is not of it"))),
            None => Ok(()),
        }
    }

    /// Where an entry goes: never out of the staging folder.
    fn place(&self, inside: &Path) -> Result<PathBuf, SnapshotError> {
        let is_plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || inside.as_os_str().is_empty() {
            return Err(self.damaged(format!("{} leads out of it", inside.display())));
        }
        Ok(self.staging.join(inside))
    }

    fn unreadable(&self, error: &io::Error) -> SnapshotError {
        self.damaged(error.to_string())
    }

    fn damaged(&self, reason: impl Into<String>) -> SnapshotError {
        SnapshotError::damaged(self.file, reason)
    }
}
