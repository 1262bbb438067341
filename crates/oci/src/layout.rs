//! An OCI image layout: a folder with blobs by digest (OCI image-spec 1.1, image-layout.md).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest::{Descriptor, Digest};
use crate::elf::Architecture;
use crate::error::OciError;
use crate::image::{DOCKER_INDEX_TYPE, INDEX_TYPE, MANIFEST_TYPE};
use crate::manifest::Manifest;
use crate::reference::Reference;

const VERSION_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
/// Annotation of the index that gives an image its name (annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// An existing layout keeps its blobs; its index is written anew by [`Layout::finish`].
    ///
    /// # Errors
    /// When the folder holds something else, or cannot be written.
    pub fn create(folder: &Path) -> Result<Layout, OciError> {
        let layout = Layout { folder: folder.to_owned() };
        let is_empty = match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => true,
        };
        if !is_empty && !folder.join(VERSION_FILE).is_file() {
            return Err(layout.broken("the folder holds other files"));
        }
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(OciError::file(&blobs))?;
        layout.write(&folder.join(VERSION_FILE), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(layout)
    }

    /// # Errors
    /// When the folder is not a layout.
    pub fn open(folder: &Path) -> Result<Layout, OciError> {
        let layout = Layout { folder: folder.to_owned() };
        match std::fs::read(folder.join(VERSION_FILE)) {
            Ok(bytes) => {
                let version: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                if version["imageLayoutVersion"] == "1.0.0" {
                    Ok(layout)
                } else {
                    Err(layout.broken("its version is not 1.0.0"))
                }
            }
            Err(_) => Err(layout.broken("it has no file `oci-layout`")),
        }
    }

    fn broken(&self, reason: &str) -> OciError {
        OciError::Layout { path: self.folder.clone(), reason: reason.to_owned() }
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Whoever looks sees the whole file or none.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), OciError> {
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(OciError::file(path))?;
        std::io::Write::write_all(&mut file, bytes).map_err(OciError::file(path))?;
        self.persist(file, path)
    }

    fn persist(&self, file: tempfile::NamedTempFile, path: &Path) -> Result<(), OciError> {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(OciError::file(path))?;
        file.persist(path).map(drop).map_err(|error| OciError::file(path)(error.error))
    }

    pub(crate) fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, OciError> {
        let descriptor = Descriptor::of(media_type, bytes);
        self.write(&self.path(&descriptor.digest), bytes)?;
        Ok(descriptor)
    }

    /// A blob that arrives in pieces; kept only if it is what it should be.
    pub(crate) fn receive(&self, descriptor: &Descriptor) -> Result<Receiver<'_>, OciError> {
        let path = self.path(&descriptor.digest);
        let folder = path.parent().unwrap_or(&self.folder);
        let file = tempfile::NamedTempFile::new_in(folder).map_err(OciError::file(&path))?;
        Ok(Receiver { layout: self, wanted: descriptor.clone(), file, hash: Sha256::new(), size: 0, path })
    }

    /// # Errors
    /// When the blob is missing, or is not what its digest says.
    pub(crate) fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let path = self.path(&descriptor.digest);
        let bytes = std::fs::read(&path).map_err(OciError::file(&path))?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(OciError::Digest {
            what: path.display().to_string(),
            wanted: descriptor.digest.to_string(),
            found: found.to_string(),
        })
    }

    /// Read piece by piece: layers may be larger than memory.
    pub(crate) fn has(&self, descriptor: &Descriptor) -> bool {
        let hash = || -> std::io::Result<Digest> {
            let mut file = std::fs::File::open(self.path(&descriptor.digest))?;
            let mut hash = Sha256::new();
            std::io::copy(&mut file, &mut hash)?;
            Ok(Digest::finish(hash))
        };
        hash().is_ok_and(|found| found == descriptor.digest)
    }

    /// Makes `manifest` the layout's only image and deletes the blobs that it does not need.
    pub(crate) fn finish(&self, mut manifest: Descriptor, name: &str) -> Result<Descriptor, OciError> {
        manifest.annotations = Some(BTreeMap::from([(REF_NAME.to_owned(), name.to_owned())]));
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest]});
        self.write(&self.folder.join(INDEX_FILE), index.to_string().as_bytes())?;
        let mut needed: Vec<String> = vec![manifest.digest.hex().to_owned()];
        needed.extend(self.image_manifest(&manifest)?.blobs().map(|blob| blob.digest.hex().to_owned()));
        let blobs = self.folder.join("blobs/sha256");
        for entry in std::fs::read_dir(&blobs).map_err(OciError::file(&blobs))?.flatten() {
            if entry.file_name().to_str().is_none_or(|name| !needed.iter().any(|needed| needed == name)) {
                std::fs::remove_file(entry.path()).map_err(OciError::file(entry.path()))?;
            }
        }
        Ok(manifest)
    }

    /// The image in the layout.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn manifest(&self) -> Result<Descriptor, OciError> {
        let path = self.folder.join(INDEX_FILE);
        let bytes = std::fs::read(&path).map_err(OciError::file(&path))?;
        let index: Value = serde_json::from_slice(&bytes).map_err(|_| self.broken("index.json is not JSON"))?;
        let manifests: Vec<Descriptor> = serde_json::from_value(index["manifests"].clone())
            .map_err(|error| self.broken(&format!("index.json has no list of manifests: {error}")))?;
        match <[Descriptor; 1]>::try_from(manifests) {
            Ok([manifest]) if manifest.media_type == MANIFEST_TYPE => Ok(manifest),
            Ok(_) => Err(self.broken("index.json names something that is not an image")),
            Err(several) => Err(self.broken(&format!("index.json names {} images instead of one", several.len()))),
        }
    }

    /// What the index has for a reference, of several images the one that bears its tag or its whole name: the digest that
    /// the reference stands for, and the manifest for the architecture.
    pub(crate) fn find(
        &self,
        reference: &Reference,
        architecture: Architecture,
    ) -> Result<(Digest, Descriptor), OciError> {
        let path = self.folder.join(INDEX_FILE);
        let bytes = std::fs::read(&path).map_err(OciError::file(&path))?;
        let images = self.list(&bytes, "index.json")?;
        let named = self.choose(images, reference)?;
        if let Some(wanted) = reference.digest.as_ref().filter(|wanted| **wanted != named.digest) {
            return Err(OciError::Digest {
                what: format!("the image in {}", self.folder.display()),
                wanted: wanted.to_string(),
                found: named.digest.to_string(),
            });
        }
        if !is_index(&named) {
            return Ok((named.digest.clone(), named));
        }
        let inner = self.list(&self.read(&named)?, "its index of architectures")?;
        let own = inner.into_iter().find(|one| one.is_for(architecture)).ok_or_else(|| OciError::Platform {
            reference: reference.to_string(),
            platform: format!("linux/{}", architecture.name()),
        })?;
        Ok((named.digest, own))
    }

    fn list(&self, bytes: &[u8], what: &str) -> Result<Vec<Descriptor>, OciError> {
        let index: Value = serde_json::from_slice(bytes).map_err(|_| self.broken(&format!("{what} is not JSON")))?;
        serde_json::from_value(index["manifests"].clone())
            .map_err(|error| self.broken(&format!("{what} has no list of manifests: {error}")))
    }

    fn choose(&self, mut images: Vec<Descriptor>, reference: &Reference) -> Result<Descriptor, OciError> {
        if images.len() == 1 {
            return Ok(images.remove(0));
        }
        let (tag, whole) = (reference.version(), reference.to_string());
        let bears = |image: &&Descriptor| {
            let name = image.annotations.as_ref().and_then(|annotations| annotations.get(REF_NAME));
            image.digest.to_string() == tag || name.is_some_and(|name| *name == tag || *name == whole)
        };
        let count = images.len();
        images.iter().find(bears).cloned().ok_or_else(|| {
            self.broken(&format!("none of the {count} images in index.json is named `{tag}` ({REF_NAME})"))
        })
    }

    /// The configuration and the layers of an image, in the order in which they must be in a registry before it.
    ///
    /// # Errors
    /// When the manifest is missing or cannot be read.
    pub fn blobs(&self, manifest: &Descriptor) -> Result<Vec<Descriptor>, OciError> {
        Ok(self.image_manifest(manifest)?.blobs().cloned().collect())
    }

    pub(crate) fn image_manifest(&self, manifest: &Descriptor) -> Result<Manifest, OciError> {
        let value =
            serde_json::from_slice(&self.read(manifest)?).map_err(|_| self.broken("its manifest is not JSON"))?;
        Manifest::parse(&value).map_err(|error| self.broken(&error.to_string()))
    }
}

fn is_index(descriptor: &Descriptor) -> bool {
    [INDEX_TYPE, DOCKER_INDEX_TYPE].contains(&descriptor.media_type.as_str())
}

pub(crate) struct Receiver<'a> {
    layout: &'a Layout,
    wanted: Descriptor,
    file: tempfile::NamedTempFile,
    hash: Sha256,
    size: u64,
    path: PathBuf,
}

impl Receiver<'_> {
    pub fn piece(&mut self, bytes: &[u8]) -> Result<(), OciError> {
        self.size += bytes.len() as u64;
        if self.size > self.wanted.size {
            return Err(self.wrong(format!("more than {} bytes", self.wanted.size)));
        }
        self.hash.update(bytes);
        std::io::Write::write_all(&mut self.file, bytes).map_err(OciError::file(&self.path))
    }

    fn wrong(&self, found: String) -> OciError {
        OciError::Digest { what: "a downloaded blob".to_owned(), wanted: self.wanted.digest.to_string(), found }
    }

    pub fn keep(self) -> Result<(), OciError> {
        let found = Digest::finish(self.hash.clone());
        if found != self.wanted.digest {
            return Err(self.wrong(found.to_string()));
        }
        self.layout.persist(self.file, &self.path)
    }
}
