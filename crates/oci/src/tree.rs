//! A folder that nothing leaves: every path is resolved by the kernel as if the folder were the root of all files
//! (openat2 with RESOLVE_IN_ROOT), so a link in an image leads to where it would lead in a container.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The kernel's PATH_MAX, which openat2 keeps to.
const LONGEST_PATH: usize = 4095;
/// Folders within folders. Links make any depth out of short paths, and whoever removes a tree holds a descriptor for each.
const DEEPEST: usize = 400;

pub(crate) struct Tree {
    root: OwnedFd,
    /// Of the root itself.
    depth: usize,
}

/// The folder of an entry, and its name there.
pub(crate) struct Place {
    pub folder: OwnedFd,
    pub name: OsString,
}

/// The parts of a path in an archive, which may begin with `/` or `./` and may not go upwards.
pub(crate) fn parts(path: &[u8]) -> Result<Vec<&OsStr>, &'static str> {
    if path.len() > LONGEST_PATH || path.contains(&0) {
        return Err("the path is longer than the kernel takes or holds a zero byte");
    }
    let parts: Vec<&OsStr> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(OsStr::from_bytes)
        .collect();
    if parts.iter().any(|part| *part == "..") { Err("the path goes upwards") } else { Ok(parts) }
}

fn joined(parts: &[&OsStr]) -> OsString {
    if parts.is_empty() { OsString::from(".") } else { parts.join(OsStr::new("/")) }
}

/// How many folders are above a folder, links aside.
fn depth(folder: &OwnedFd) -> io::Result<usize> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    Ok(path.components().count())
}

impl Tree {
    pub fn open(root: &Path) -> io::Result<Tree> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        let depth = depth(&root)?;
        Ok(Tree { root, depth })
    }

    fn resolve(&self, path: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    fn folder(&self, parts: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        self.resolve(&joined(parts), OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Where a path is. Folders on the way there are made as needed, which archives leave out at times.
    pub fn place(&self, parts: &[&OsStr]) -> io::Result<Place> {
        let (name, above) = parts.split_last().ok_or_else(|| io::Error::other("the path names the root itself"))?;
        let folder = match self.folder(above) {
            Err(Errno::NOENT) => self.make(above)?,
            found => found?,
        };
        if depth(&folder)? > self.depth + DEEPEST {
            return Err(io::Error::other(format!("it is deeper than {DEEPEST} folders")));
        }
        Ok(Place { folder, name: (*name).to_owned() })
    }

    fn make(&self, parts: &[&OsStr]) -> io::Result<OwnedFd> {
        if parts.len() > DEEPEST {
            return Err(io::Error::other(format!("it is deeper than {DEEPEST} folders")));
        }
        let mut folder = self.folder(&[])?;
        for length in 1..=parts.len() {
            folder = match self.folder(&parts[..length]) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&folder, parts[length - 1], Mode::from(0o755))?;
                    self.folder(&parts[..length])?
                }
                found => found?,
            };
        }
        Ok(folder)
    }

    /// A regular file's content, or an error for anything else and for more than `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        // Without O_NONBLOCK a pipe of that name would be waited for.
        let file = File::from(self.resolve(OsStr::new(path), OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{path} is not a file")));
        }
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit { Err(io::Error::other(format!("{path} is too large"))) } else { Ok(content) }
    }

    /// So that a power cut after the tree was given its name leaves it whole.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.resolve(OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY)?)?)
    }
}

impl Place {
    pub fn kind(&self) -> io::Result<Option<(FileType, u64)>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((FileType::from_raw_mode(stat.st_mode), stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn is_folder(&self) -> io::Result<bool> {
        Ok(self.kind()?.is_some_and(|(kind, _)| kind == FileType::Directory))
    }

    /// Removes what is there with everything below, except what has one of these inode numbers and what leads there.
    pub fn remove(&self, kept: &BTreeSet<u64>) -> io::Result<()> {
        match self.kind()? {
            Some((FileType::Directory, inode)) => {
                self.empty(kept)?;
                if kept.contains(&inode) {
                    return Ok(());
                }
                match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR) {
                    // Something in it is kept.
                    Err(Errno::NOTEMPTY) => Ok(()),
                    outcome => Ok(outcome?),
                }
            }
            Some((_, inode)) if kept.contains(&inode) => Ok(()),
            Some(_) => Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())?),
            None => Ok(()),
        }
    }

    /// As [`Place::remove`] for everything in the folder that is here.
    fn empty(&self, kept: &BTreeSet<u64>) -> io::Result<()> {
        empty(&self.open_folder()?, kept)
    }

    /// As [`Place::remove`] for everything beside this place.
    pub fn empty_folder(&self, kept: &BTreeSet<u64>) -> io::Result<()> {
        empty(&self.folder, kept)
    }

    /// Another name in the same folder.
    pub fn beside(&self, name: &OsStr) -> io::Result<Place> {
        Ok(Place { folder: self.folder.try_clone()?, name: name.to_owned() })
    }

    /// True when both names are of one file.
    pub fn is_same(&self, other: &Place) -> io::Result<bool> {
        Ok(self.kind()?.is_some_and(|own| other.kind().is_ok_and(|other| other == Some(own))))
    }

    /// The folder itself, not what a link of that name leads to.
    pub fn open_folder(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?)
    }
}

fn empty(folder: &OwnedFd, kept: &BTreeSet<u64>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
    let names: Vec<OsString> = Dir::read_from(&readable)?
        .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()))
        .collect::<rustix::io::Result<_>>()?;
    drop(readable);
    for name in names.into_iter().filter(|name| name != "." && name != "..") {
        Place { folder: folder.try_clone()?, name }.remove(kept)?;
    }
    Ok(())
}
