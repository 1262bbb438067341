//! Images on this machine: blobs by digest, and each image unpacked once.
//!
//! ```text
//! blobs/sha256/…        what registries gave
//! images/HEX/rootfs     the unpacked layers of the manifest with this digest
//! images/HEX/image.json what it is and how it is run; written last
//! names/HEX.json        which image a reference stood for when it was last pulled
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::blocking::blocking;
use crate::digest::{Descriptor, Digest};
use crate::elf::Architecture;
use crate::error::OciError;
use crate::layout::Layout;
use crate::manifest::{Manifest, configuration};
use crate::reference::Reference;
use crate::registry::{Found, Registry};
use crate::running::{RunConfig, look_up};
use crate::unpack::{Limit, Source, unpack};

const ROOT: &str = "rootfs";
const RECORD: &str = "image.json";
/// Folders that are being filled; what is left of them belongs to a process that was killed.
const UNFINISHED: &str = ".new-";

/// An image that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// `registry/repository@digest`, as container runtimes report it.
    pub id: String,
    /// Bytes of its blobs.
    pub size: u64,
    pub run: RunConfig,
    /// Its files. Whoever runs it must not change them.
    pub root: PathBuf,
}

impl Unpacked {
    /// The numbers of a user, written as [`RunConfig::user`] is, by the image's own lists: uid, and gid where one is known.
    ///
    /// # Errors
    /// When a name is in neither, worded as containerd does.
    pub fn user(&self, text: &str) -> Result<(u32, Option<u32>), String> {
        look_up(&self.root, text)
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    size: u64,
    run: RunConfig,
}

#[derive(Serialize, Deserialize)]
struct Name {
    reference: String,
    /// What the reference stands for, which may be an index.
    named: Digest,
    manifest: Digest,
}

/// One folder of images. Only one process uses it at a time.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    blobs: Layout,
    limit: Limit,
    /// Images are unpacked one after the other: ten replicas that start at once want the same one.
    unpacking: Mutex<()>,
}

impl Store {
    /// Makes the folder, or opens it and removes what a process that was killed left half done.
    ///
    /// # Errors
    /// When it cannot be made or holds something else.
    pub fn open(folder: &Path, limit: Limit) -> Result<Store, OciError> {
        let store =
            Store { folder: folder.to_owned(), blobs: Layout::create(folder)?, limit, unpacking: Mutex::default() };
        for folder in [store.images(), store.names()] {
            fs::create_dir_all(&folder).map_err(OciError::file(&folder))?;
        }
        let images = store.images();
        for entry in fs::read_dir(&images).map_err(OciError::file(&images))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path()).map_err(OciError::file(entry.path()))?;
            }
        }
        Ok(store)
    }

    fn images(&self) -> PathBuf {
        self.folder.join("images")
    }

    fn names(&self) -> PathBuf {
        self.folder.join("names")
    }

    fn name(&self, reference: &Reference) -> PathBuf {
        let digest = Digest::of(reference.canonical().as_bytes());
        self.names().join(digest.hex()).with_extension("json")
    }

    /// The image that the reference stood for when it was last pulled.
    pub fn present(&self, reference: &Reference) -> Option<Unpacked> {
        let name: Name = serde_json::from_slice(&fs::read(self.name(reference)).ok()?).ok()?;
        self.unpacked(&name.manifest, reference, &name.named)
    }

    fn unpacked(&self, manifest: &Digest, reference: &Reference, named: &Digest) -> Option<Unpacked> {
        let folder = self.images().join(manifest.hex());
        let record: Record = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
        let id = format!("{}/{}@{named}", reference.registry, reference.repository);
        Some(Unpacked { id, size: record.size, run: record.run, root: folder.join(ROOT) })
    }

    /// Asks the registry what the reference stands for now and downloads and unpacks what is missing of it.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, gives something else than it should, or has no image for the
    /// architecture; or when the image cannot be unpacked.
    pub async fn pull(
        self: &Arc<Self>,
        registry: &Registry,
        reference: &Reference,
        architecture: Architecture,
    ) -> Result<Unpacked, OciError> {
        let Found { named, own, value } = registry.image_manifest(reference, architecture).await?;
        if let Some(image) = self.unpacked(&own, reference, &named) {
            self.remember(reference, &named, &own)?;
            return Ok(image);
        }
        let manifest = Manifest::parse(&value)?;
        self.check_size(&manifest)?;
        registry.download_missing(reference, &manifest, &self.blobs).await?;
        let (store, reference) = (Arc::clone(self), reference.clone());
        blocking(move || store.keep(&store.blobs, &manifest, &reference, &named, &own)).await
    }

    /// Unpacks what a layout has for the reference, and returns it as it is now.
    ///
    /// # Errors
    /// When the layout has no such image, or it cannot be unpacked.
    pub async fn import(
        self: &Arc<Self>,
        layout: &Path,
        reference: &Reference,
        architecture: Architecture,
    ) -> Result<Unpacked, OciError> {
        let (store, layout, reference) = (Arc::clone(self), layout.to_owned(), reference.clone());
        blocking(move || {
            let layout = Layout::open(&layout)?;
            let (named, own) = layout.find(&reference, architecture)?;
            if let Some(image) = store.unpacked(&own.digest, &reference, &named) {
                return Ok(image);
            }
            let manifest = layout.image_manifest(&own)?;
            store.check_size(&manifest)?;
            store.keep(&layout, &manifest, &reference, &named, &own.digest)
        })
        .await
    }

    /// Before anything is downloaded. A layer may still unpack to more than it says.
    fn check_size(&self, manifest: &Manifest) -> Result<(), OciError> {
        if manifest.size() <= self.limit.bytes {
            return Ok(());
        }
        let reason = format!("its layers have {} bytes, and {} are unpacked", manifest.size(), self.limit.bytes);
        Err(OciError::Manifest { what: "manifest", reason })
    }

    fn keep(
        &self,
        layout: &Layout,
        manifest: &Manifest,
        reference: &Reference,
        named: &Digest,
        own: &Digest,
    ) -> Result<Unpacked, OciError> {
        let one_at_a_time = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.unpacked(own, reference, named).is_none() {
            self.unpack(layout, manifest, own)?;
        }
        drop(one_at_a_time);
        self.remember(reference, named, own)?;
        let lost = || OciError::File {
            path: self.images().join(own.hex()),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "the image was removed"),
        };
        self.unpacked(own, reference, named).ok_or_else(lost)
    }

    /// Whoever looks sees the whole image or none.
    fn unpack(&self, layout: &Layout, manifest: &Manifest, own: &Digest) -> Result<(), OciError> {
        let (run, diff_ids) = configuration(&layout.read(&manifest.config)?, manifest.layers.len())?;
        let source = |(descriptor, diff_id): (&Descriptor, Digest)| Source {
            path: layout.path(&descriptor.digest),
            descriptor: descriptor.clone(),
            diff_id,
        };
        let layers: Vec<Source> = manifest.layers.iter().zip(diff_ids).map(source).collect();
        let images = self.images();
        let folder =
            tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&images).map_err(OciError::file(&images))?;
        let root = folder.path().join(ROOT);
        fs::create_dir(&root).map_err(OciError::file(&root))?;
        unpack(&layers, &root, self.limit)?;
        let record = Record { size: manifest.size(), run };
        let path = folder.path().join(RECORD);
        fs::write(&path, serde_json::json!(record).to_string()).map_err(OciError::file(&path))?;
        let place = images.join(own.hex());
        // A folder without a record is nobody's image.
        if place.exists() {
            fs::remove_dir_all(&place).map_err(OciError::file(&place))?;
        }
        fs::rename(folder.path(), &place).map_err(OciError::file(&place))?;
        // Its name is another one now.
        let _ = folder.keep();
        Ok(())
    }

    fn remember(&self, reference: &Reference, named: &Digest, own: &Digest) -> Result<(), OciError> {
        let name = Name { reference: reference.canonical(), named: named.clone(), manifest: own.clone() };
        let text = serde_json::json!(name).to_string();
        self.blobs.write(&self.name(reference), text.as_bytes())
    }
}
