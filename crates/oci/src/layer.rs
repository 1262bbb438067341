//! A layer whose bytes depend on its files alone: sorted paths, one owner, one time.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;

use crate::digest::Digest;
use crate::error::OciError;

pub const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[derive(Clone, Debug)]
struct File {
    executable: bool,
    bytes: Vec<u8>,
}

/// Files by their path in the image, without a slash in front.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    files: BTreeMap<String, File>,
}

/// A finished layer.
pub(crate) struct Packed {
    pub bytes: Vec<u8>,
    /// Of the archive before it was compressed.
    pub diff_id: Digest,
}

impl Layer {
    /// `path` is relative to the image's root; a later file takes the place of an earlier one.
    pub fn file(&mut self, path: &str, executable: bool, bytes: impl Into<Vec<u8>>) -> &mut Layer {
        self.files.insert(path.trim_start_matches('/').to_owned(), File { executable, bytes: bytes.into() });
        self
    }

    /// Every regular file below `folder`, at the same place below `path`; executable where the file is.
    ///
    /// # Errors
    /// When something cannot be read, or is a symbolic link or a device, which would not mean the same in an image.
    pub fn folder(&mut self, path: &str, folder: &Path) -> Result<&mut Layer, OciError> {
        for entry in std::fs::read_dir(folder).map_err(OciError::file(folder))? {
            let entry = entry.map_err(OciError::file(folder))?;
            let source = entry.path();
            let name = entry.file_name().into_string().map_err(|_| not_plain(&source, "its name is not UTF-8"))?;
            let target = format!("{}/{name}", path.trim_end_matches('/'));
            let kind = entry.file_type().map_err(OciError::file(&source))?;
            if kind.is_dir() {
                self.folder(&target, &source)?;
            } else if kind.is_file() {
                let bytes = std::fs::read(&source).map_err(OciError::file(&source))?;
                self.file(&target, is_executable(&source)?, bytes);
            } else {
                return Err(not_plain(&source, "it is neither a file nor a folder"));
            }
        }
        Ok(self)
    }

    /// `time` is every file's and folder's.
    pub(crate) fn pack(&self, time: Timestamp) -> std::io::Result<Packed> {
        let seconds = u64::try_from(time.as_second()).unwrap_or(0);
        let mut archive = tar::Builder::new(Vec::new());
        let mut folders = std::collections::BTreeSet::new();
        for (path, file) in &self.files {
            for (end, _) in path.match_indices('/') {
                if folders.insert(&path[..end]) {
                    append(&mut archive, &format!("{}/", &path[..end]), 0o755, seconds, None)?;
                }
            }
            append(&mut archive, path, if file.executable { 0o755 } else { 0o644 }, seconds, Some(&file.bytes))?;
        }
        let plain = archive.into_inner()?;
        // Neither a name nor a time in the header, and the operating system "unknown" whatever this one is.
        let mut encoder = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::new(6));
        encoder.write_all(&plain)?;
        Ok(Packed { bytes: encoder.finish()?, diff_id: Digest::of(&plain) })
    }
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    seconds: u64,
    bytes: Option<&[u8]>,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(if bytes.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds);
    let bytes = bytes.unwrap_or_default();
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

fn not_plain(path: &Path, reason: &str) -> OciError {
    OciError::File { path: path.to_owned(), source: std::io::Error::new(std::io::ErrorKind::InvalidInput, reason) }
}

fn is_executable(path: &Path) -> Result<bool, OciError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(OciError::file(path))?;
    Ok(metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes_in_any_order() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let one = Layer::default().file("a/b/c", true, *b"1").file("/z", false, *b"2").pack(time).unwrap();
        let other = Layer::default().file("z", false, *b"2").file("a/b/c", true, *b"1").pack(time).unwrap();
        assert_eq!(one.bytes, other.bytes);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(one.bytes.as_slice()));
        let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        let told = entries.iter().map(|entry| {
            let header = entry.header();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            (path, header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap())
        });
        let file = |path: &str, mode| (path.to_owned(), mode, 1_700_000_000, 0);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [file("a/", 0o755), file("a/b/", 0o755), file("a/b/c", 0o755), file("z", 0o644)]
        );
    }

    #[test]
    fn a_folder_with_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let error = Layer::default().folder("x", folder.path()).unwrap_err();
        assert!(error.to_string().contains("link cannot be read"), "{error}");
    }
}
