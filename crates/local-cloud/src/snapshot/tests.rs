use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::folder::Folder;
use crate::identity::Identity;

/// A folder with what a cloud keeps, and what it does not.
fn cloud(root: &Path) -> Folder {
    let folder = Folder::new(root);
    Identity::open(&folder).unwrap();
    let write = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let pattern: Vec<u8> = (0..200_000_u32).map(|number| (number / 7) as u8).collect();
    write("arm/arm.redb", &pattern);
    write("postgres/marea-db/data/base/1/2", b"rows");
    write("postgres/marea-db/data/empty", b"");
    write("postgres/marea-db/data/postmaster.pid", b"4711");
    write("clusters/marea/kubelet/crun/one/status", b"{}");
    write("clusters/marea/kubelet/pods/u/volumes/v/..1/key", b"value");
    write("clusters/marea/kubelet/pods/u/volumes/v/..1/containers", b"of an application");
    write("clusters/marea/kubelet/pods/u/containers/main/0/started.json", b"{}");
    symlink("..1", root.join("clusters/marea/kubelet/pods/u/volumes/v/..data")).unwrap();
    write("cloud.json", b"{}");
    fs::set_permissions(root.join("arm"), fs::Permissions::from_mode(0o500)).unwrap();
    folder
}

/// Path → mode and content, or where a link leads.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let described = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                format!("{:o}", metadata.permissions().mode())
            } else {
                format!("{:o} {:?}", metadata.permissions().mode(), fs::read(&path).unwrap_or_default())
            };
            found.insert(path.strip_prefix(root).unwrap().display().to_string(), described);
        }
    }
    found
}

fn kept(root: &Path) -> BTreeMap<String, String> {
    let mut all = tree(root);
    let left_out = ["lock", "cloud.json", "control.sock", "postgres/marea-db/data/postmaster.pid"];
    let folders = ["clusters/marea/kubelet/crun", "clusters/marea/kubelet/pods/u/containers"];
    all.retain(|path, _| !left_out.contains(&path.as_str()) && !folders.iter().any(|folder| path.starts_with(folder)));
    all
}

struct Scene {
    temporary: tempfile::TempDir,
    folder: Folder,
    file: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A folder without the right to write in it cannot be emptied by an ordinary user.
        for name in ["data", "other"] {
            let _ =
                fs::set_permissions(self.temporary.path().join(name).join("arm"), fs::Permissions::from_mode(0o700));
        }
    }
}

fn scene() -> Scene {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cloud(&temporary.path().join("data"));
    let file = temporary.path().join("monday.tar.gz");
    Scene { folder, file, temporary }
}

async fn put(folder: &Folder, file: &Path) -> Result<Summary, SnapshotError> {
    restore(folder, verify(folder, file)?).await
}

#[tokio::test]
async fn a_cloud_comes_back_as_it_was() {
    let Scene { folder, file, temporary } = &scene();
    let _socket = UnixListener::bind(folder.root().join("control.sock")).unwrap();
    let before = kept(folder.root());
    let taken = take(folder, file).unwrap().summary;
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((taken.files, taken.marea.as_str()), (6, env!("CARGO_PKG_VERSION")));

    // In place of a cloud that went on, and where there was none.
    fs::write(folder.root().join("later"), "what came after").unwrap();
    let other = Folder::new(temporary.path().join("deeper/other"));
    for target in [folder, &other] {
        assert_eq!(put(target, file).await.unwrap(), taken);
        assert_eq!(kept(target.root()), before);
    }
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    // The other one lies deeper than the scene knows.
    fs::set_permissions(other.root().join("arm"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused_before_anything_changes() {
    let Scene { folder, file, temporary } = &scene();
    take(folder, file).unwrap();
    let whole = fs::read(file).unwrap();
    let other = temporary.path().join("damaged.tar.gz");
    let before = tree(folder.root());
    let check = |content: &[u8], case: &str| {
        fs::write(&other, content).unwrap();
        let refused = verify(folder, &other).err().unwrap_or_else(|| panic!("{case} was taken for whole"));
        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{case}: {refused}");
        assert_eq!(tree(folder.root()), before, "{case}");
        assert!(!temporary.path().join("data.restoring").exists(), "{case}");
    };
    check(b"", "an empty file");
    check(b"not a snapshot at all", "a text");
    let mut flips = 0;
    for part in 1..20 {
        check(&whole[..whole.len() * part / 20], &format!("the first {part} twentieths"));
        let mut flipped = whole.clone();
        let place = 20 + (whole.len() - 30) * part / 20;
        flipped[place] ^= 0x10;
        // A reference to another repetition of the same bytes, say, damages nothing; which one stands where depends on the keys.
        if unpacked(&flipped).ok() != unpacked(&whole).ok() {
            check(&flipped, &format!("a flipped bit in byte {place} of {}", whole.len()));
            flips += 1;
        }
    }
    assert!(flips > 10, "only {flips} of 19 flipped bits change what the file says");
}

fn unpacked(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut content)?;
    Ok(content)
}

/// An archive as an attacker would write it.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o700);
        header.set_size(content.len() as u64);
        // Not through `append_data`, which would refuse such names.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_hostile_file_writes_nothing_elsewhere() {
    let Scene { folder, file, temporary } = &scene();
    let regular = tar::EntryType::Regular;
    let manifest = |links: &str| {
        format!(r#"{{"format":1,"marea":"0","created":"","files":{{}},"links":{{{links}}}}}"#).into_bytes()
    };
    let outside = temporary.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let through = manifest(&format!(r#""a":"{}","a/b":"x""#, outside.display()));
    let up = manifest(r#""../outside/b":"x""#);
    for entries in [
        vec![("data/../../outside/b", regular, b"x".as_slice())],
        vec![("/tmp/b", regular, b"x")],
        vec![("elsewhere/b", regular, b"x")],
        vec![("data/b", tar::EntryType::Symlink, b"")],
        vec![("data/b", tar::EntryType::Char, b"")],
        vec![("data/b", regular, b"not in the manifest"), ("manifest.json", regular, &manifest(""))],
        vec![("manifest.json", regular, &through)],
        vec![("manifest.json", regular, &up)],
        vec![("manifest.json", regular, b"{")],
    ] {
        fs::write(file, archive(&entries)).unwrap();
        let refused = verify(folder, file).err().unwrap_or_else(|| panic!("{entries:?} was taken for whole"));
        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{entries:?}: {refused}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{entries:?}");
    }
    let newer = br#"{"format":2,"anything":"else"}"#;
    fs::write(file, archive(&[("manifest.json", regular, newer)])).unwrap();
    assert!(matches!(verify(folder, file), Err(SnapshotError::Format { found: 2, .. })));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_nothing_left_behind() {
    let Scene { folder, file, temporary } = &scene();
    let nowhere = Folder::new(temporary.path().join("nowhere"));
    assert!(matches!(take(&nowhere, file), Err(SnapshotError::Nothing(_))));
    let inside = folder.root().join("arm/own.tar.gz");
    assert!(matches!(take(folder, &inside), Err(SnapshotError::Inside(_))));
    take(folder, file).unwrap();
    assert!(matches!(take(folder, file), Err(SnapshotError::Exists(_))));
    {
        fs::remove_file(folder.root().join("cloud.json")).unwrap();
        // Somebody holds the folder who is no cloud that could be made to stand still.
        let _held = folder.lock().unwrap().unwrap();
        let second = temporary.path().join("second.tar.gz");
        assert!(matches!(take(folder, &second), Err(SnapshotError::Busy(_))));
        assert!(matches!(verify(folder, file), Err(SnapshotError::Running(_))));
        assert!(fs::read_dir(temporary.path()).unwrap().count() == 2, "something was left");
    }
    // A cloud that started after the check is not touched.
    let verified = verify(folder, file).unwrap();
    let _held = folder.lock().unwrap().unwrap();
    assert!(matches!(restore(folder, verified).await, Err(SnapshotError::Running(_))));
    assert!(!temporary.path().join("data.restoring").exists());
}
