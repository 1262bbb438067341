//! Layers to a folder (OCI image-spec 1.1, layer.md).
//!
//! Layers come from anywhere, so nothing in them is believed: paths stay inside ([`Tree`]), sizes are counted, what was read
//! is held against the digests at the end. Every file belongs to whoever unpacks, since a sandbox has one user; device
//! nodes and pipes are left out, and nothing runs as another user (no setuid bits).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};

use crate::digest::{Descriptor, Digest};
use crate::error::OciError;
use crate::tree::{Place, Tree, parts};

/// What an image may take on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of all files of all layers.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for Limit {
    /// Larger than any image of this platform by far, and small enough that one image does not fill a laptop.
    fn default() -> Limit {
        Limit { bytes: 16 << 30, entries: 1 << 20 }
    }
}

/// A layer's blob on disk.
pub(crate) struct Source {
    pub path: PathBuf,
    pub descriptor: Descriptor,
    /// Of the archive after it was decompressed.
    pub diff_id: Digest,
}

/// Headers of an entry, long names and extended attributes among them. They are read into memory.
const HEADER_BYTES: u64 = 1 << 20;
/// What may come after an archive's end.
const PADDING_BYTES: u64 = 1 << 20;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names with this beginning are bookkeeping of aufs.
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// Puts the layers over one another into an empty folder.
pub(crate) fn unpack(layers: &[Source], folder: &Path, limit: Limit) -> Result<(), OciError> {
    let tree = Tree::open(folder).map_err(OciError::file(folder))?;
    let mut left = limit;
    for source in layers {
        layer(source, &tree, &mut left)?;
    }
    tree.sync().map_err(OciError::file(folder))
}

fn layer(source: &Source, tree: &Tree, left: &mut Limit) -> Result<(), OciError> {
    let refuse = |reason: String| OciError::Layer { layer: source.descriptor.digest.to_string(), reason };
    let file = File::open(&source.path).map_err(OciError::file(&source.path))?;
    let packed = Summed::new(file);
    let packed_sum = packed.sum();
    let kind = source.descriptor.media_type.as_str();
    let plain: Box<dyn Read> = if kind.ends_with("tar+gzip") || kind.ends_with("tar.gzip") {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, packed)))
    } else if kind.ends_with(".tar") {
        Box::new(packed)
    } else {
        return Err(refuse(format!("its kind is {kind}, and only tar and tar+gzip are read")));
    };
    let plain = Summed::new(plain);
    let plain_sum = plain.sum();
    let allowance = Rc::new(Cell::new(0));
    let mut metered = Metered { inner: plain, allowance: Rc::clone(&allowance) };
    let mut layer = Layer { tree, left, allowance, own: BTreeSet::new() };
    layer.entries(&mut metered).map_err(&refuse)?;
    for (sum, wanted) in [(plain_sum, &source.diff_id), (packed_sum, &source.descriptor.digest)] {
        let found = Digest::finish(sum.take());
        if found != *wanted {
            let what = format!("the content of layer {}", source.descriptor.digest);
            return Err(OciError::Digest { what, wanted: wanted.to_string(), found: found.to_string() });
        }
    }
    Ok(())
}

struct Layer<'a> {
    tree: &'a Tree,
    left: &'a mut Limit,
    /// Bytes that may be read from the archive right now.
    allowance: Rc<Cell<u64>>,
    /// Inode numbers of what this layer has made or touched: its whiteouts are meant for the layers below alone.
    own: BTreeSet<u64>,
}

impl Layer<'_> {
    fn entries(&mut self, archive: &mut impl Read) -> Result<(), String> {
        let allowance = Rc::clone(&self.allowance);
        let mut archive = Archive::new(archive);
        allowance.set(HEADER_BYTES);
        let entries = archive.entries().map_err(|error| error.to_string())?;
        for entry in entries {
            let mut entry = entry.map_err(|error| error.to_string())?;
            self.left.entries = self.left.entries.checked_sub(1).ok_or("the image has more files than are unpacked")?;
            // Padding comes on top, and a sparse file's map.
            allowance.set(self.left.bytes.saturating_add(HEADER_BYTES));
            let path = entry.path_bytes().into_owned();
            self.entry(&path, &mut entry).map_err(|reason| format!("{}: {reason}", String::from_utf8_lossy(&path)))?;
            let unused = io::copy(&mut entry, &mut io::sink()).map_err(|error| error.to_string())?;
            self.spend(unused).map_err(|error| error.to_string())?;
            allowance.set(HEADER_BYTES);
        }
        allowance.set(PADDING_BYTES);
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn entry(&mut self, path: &[u8], entry: &mut Entry<'_, impl Read>) -> Result<(), String> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let parts = parts(path)?;
        if parts.is_empty() {
            // The root itself: its mode is everybody's to read, whatever the archive says.
            return Ok(());
        }
        let place = self.tree.place(&parts).map_err(|error| error.to_string())?;
        let name = place.name.as_bytes();
        if name.starts_with(WHITEOUT) {
            return self.whiteout(&place).map_err(|error| error.to_string());
        }
        match kind {
            EntryType::Directory => self.folder(&place, entry),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(&place, entry),
            EntryType::Symlink => self.link(&place, entry),
            EntryType::Link => self.hard_link(&place, entry),
            EntryType::Char | EntryType::Block | EntryType::Fifo => Ok(()),
            other => Err(io::Error::other(format!("an entry of kind {other:?} is not known"))),
        }
        .map_err(|error| error.to_string())
    }

    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.left.bytes.checked_sub(bytes);
        self.left.bytes = left.ok_or_else(|| io::Error::other("the image has more bytes than are unpacked"))?;
        Ok(())
    }

    fn whiteout(&self, place: &Place) -> io::Result<()> {
        let name = place.name.as_bytes();
        if name == OPAQUE {
            // Of the folder that the marker lies in.
            return place.empty_folder(&self.own);
        }
        let hidden = &name[WHITEOUT.len()..];
        if name.starts_with(WHITEOUT_META) {
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(io::Error::other("the whiteout names no file"));
        }
        place.beside(OsStr::from_bytes(hidden))?.remove(&self.own)
    }

    /// Notes that the file or folder is of this layer.
    fn keep(&mut self, descriptor: impl AsFd) -> io::Result<()> {
        self.own.insert(rustix::fs::fstat(descriptor)?.st_ino);
        Ok(())
    }

    /// Whatever a lower layer, or an earlier entry, has at this place gives way.
    fn make_room(&self, place: &Place) -> io::Result<()> {
        place.remove(&BTreeSet::new())
    }

    fn folder(&mut self, place: &Place, entry: &Entry<'_, impl Read>) -> io::Result<()> {
        if !place.is_folder()? {
            self.make_room(place)?;
            rustix::fs::mkdirat(&place.folder, &place.name, Mode::from(0o755))?;
        }
        let folder = place.open_folder()?;
        // Its owner can always look inside and remove it.
        rustix::fs::fchmod(&folder, Mode::from(mode(entry)? | 0o700))?;
        self.keep(folder)
    }

    fn file(&mut self, place: &Place, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        self.make_room(place)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&place.folder, &place.name, flags, Mode::from(0o600))?);
        let copied = io::copy(&mut Read::take(&mut *entry, self.left.bytes.saturating_add(1)), &mut file)?;
        self.spend(copied)?;
        rustix::fs::fchmod(&file, Mode::from(mode(entry)? | 0o400))?;
        // Compiled Python is valid only beside a source of the same age.
        let seconds = i64::try_from(entry.header().mtime().unwrap_or(0)).unwrap_or(0);
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        self.keep(file)
    }

    /// Where it leads is not looked at: it is followed inside the root alone.
    fn link(&mut self, place: &Place, entry: &Entry<'_, impl Read>) -> io::Result<()> {
        let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("the link leads nowhere"))?;
        self.make_room(place)?;
        rustix::fs::symlinkat(OsStr::from_bytes(&target), &place.folder, &place.name)?;
        if let Some((_, inode)) = place.kind()? {
            self.own.insert(inode);
        }
        Ok(())
    }

    fn hard_link(&mut self, place: &Place, entry: &Entry<'_, impl Read>) -> io::Result<()> {
        let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("the hard link has no target"))?;
        let target = self.tree.place(&parts(&target).map_err(io::Error::other)?)?;
        if place.is_same(&target)? {
            return Ok(());
        }
        self.make_room(place)?;
        // Without AT_SYMLINK_FOLLOW a link is itself linked, not what it leads to.
        rustix::fs::linkat(&target.folder, &target.name, &place.folder, &place.name, AtFlags::empty())?;
        Ok(())
    }
}

/// Permission bits alone.
fn mode(entry: &Entry<'_, impl Read>) -> io::Result<u32> {
    Ok(entry.header().mode()? & 0o777)
}

/// Sums up what is read.
struct Summed<R> {
    inner: R,
    hash: Rc<Cell<Sha256>>,
}

impl<R> Summed<R> {
    fn new(inner: R) -> Summed<R> {
        Summed { inner, hash: Rc::default() }
    }

    /// Of everything that will have been read.
    fn sum(&self) -> Rc<Cell<Sha256>> {
        Rc::clone(&self.hash)
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut hash = self.hash.take();
        hash.update(&buffer[..count]);
        self.hash.set(hash);
        Ok(count)
    }
}

/// Reads no more than is allowed at the moment.
struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.allowance.get().checked_sub(count as u64);
        self.allowance.set(left.ok_or_else(|| io::Error::other("the archive has more bytes than are read"))?);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
