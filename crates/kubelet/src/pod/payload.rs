//! Files of a volume that change all at once (pkg/volume/util/atomic_writer.go of Kubernetes 1.36): names in the volume
//! are links through `..data`, which is moved to a new directory in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

/// Relative path → content and mode.
pub(crate) type Payload = BTreeMap<String, (Vec<u8>, u32)>;

const DATA: &str = "..data";

/// Makes the volume hold exactly the payload. Does nothing when it does already.
pub(crate) fn write(volume: &Path, payload: &Payload) -> io::Result<()> {
    fs::create_dir_all(volume)?;
    let current = fs::read_link(volume.join(DATA)).ok();
    if let Some(current) = &current
        && is_same(&volume.join(current), payload)
    {
        return Ok(());
    }
    let fresh = fresh_directory(volume)?;
    for (path, (content, mode)) in payload {
        let target = volume.join(&fresh).join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        // The owner must be able to read: without isolation every pod runs as the same user.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode | 0o400).open(&target)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode | 0o400))?;
    }
    let link = volume.join("..data_new");
    let _ = fs::remove_file(&link);
    symlink(&fresh, &link)?;
    fs::rename(&link, volume.join(DATA))?;
    link_names(volume, payload)?;
    if let Some(old) = current {
        let _ = fs::remove_dir_all(volume.join(old));
    }
    Ok(())
}

fn fresh_directory(volume: &Path) -> io::Result<String> {
    for number in 0_u64.. {
        let name = format!("..{number}");
        match fs::create_dir(volume.join(&name)) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no free directory name"))
}

fn is_same(directory: &Path, payload: &Payload) -> bool {
    let mut files = 0;
    count_files(directory, &mut files);
    files == payload.len()
        && payload.iter().all(|(path, (content, _))| fs::read(directory.join(path)).is_ok_and(|own| own == *content))
}

fn count_files(directory: &Path, files: &mut usize) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => count_files(&entry.path(), files),
            false => *files += 1,
        }
    }
}

/// One link per first path element; those of names that are gone are removed.
fn link_names(volume: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        match symlink(Path::new(DATA).join(name), volume.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(volume)?.flatten() {
        let name = entry.file_name();
        let stale = name.to_str().is_some_and(|name| !name.starts_with("..") && !wanted.contains(name));
        if stale {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_files_in_one_step() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("config");
        let payload = |entries: &[(&str, &str)]| -> Payload {
            entries.iter().map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), 0o644))).collect()
        };
        write(&volume, &payload(&[("a", "1"), ("sub/b", "2")])).unwrap();
        let first = fs::read_link(volume.join(DATA)).unwrap();
        assert_eq!(fs::read_to_string(volume.join("sub/b")).unwrap(), "2");

        write(&volume, &payload(&[("a", "1"), ("sub/b", "2")])).unwrap();
        assert_eq!(fs::read_link(volume.join(DATA)).unwrap(), first, "nothing changed");

        write(&volume, &payload(&[("a", "3")])).unwrap();
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "3");
        assert!(!volume.join("sub").exists() && !volume.join(first).exists());
    }
}
