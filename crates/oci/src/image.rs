//! An image: layers, a configuration, a manifest (OCI image-spec 1.1, config.md and manifest.md).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::digest::{Descriptor, Digest};
use crate::elf::Architecture;
use crate::error::OciError;
use crate::layer::{LAYER_TYPE, Layer};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::reference::Reference;
use crate::registry::{Found, Registry};

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_INDEX_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What an image adds to its base, or to nothing.
#[derive(Clone, Debug)]
pub struct Contents {
    pub layer: Layer,
    pub architecture: Architecture,
    /// Of every file and of the image; the same time gives the same digest.
    pub created: Timestamp,
    /// One line for `docker history`.
    pub created_by: String,
    /// `uid:gid`
    pub user: String,
    pub entrypoint: Vec<String>,
    /// Over those of the base.
    pub env: Vec<(String, String)>,
    pub port: u16,
    pub stop_signal: String,
    /// Over those of the base; `org.opencontainers.image.*` by OCI's annotations.md.
    pub labels: BTreeMap<String, String>,
}

/// An image to build upon, whose blobs are in the layout.
#[derive(Clone, Debug)]
pub struct Base {
    reference: Reference,
    digest: Digest,
    layers: Vec<Descriptor>,
    config: Value,
}

/// A finished image in a layout.
#[derive(Clone, Debug)]
pub struct Image {
    pub manifest: Descriptor,
    /// Bytes of everything that a registry keeps.
    pub size: u64,
}

impl Base {
    /// Downloads what the layout does not have yet.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or has no image for the architecture.
    pub async fn pull(
        registry: &Registry,
        reference: &Reference,
        architecture: Architecture,
        layout: &Layout,
    ) -> Result<Base, OciError> {
        let Found { named: digest, value, .. } = registry.image_manifest(reference, architecture).await?;
        let protocol =
            |reason: &str| OciError::Protocol { registry: reference.registry.clone(), reason: reason.to_owned() };
        let manifest = Manifest::parse(&value).map_err(|error| protocol(&error.to_string()))?;
        registry.download_missing(reference, &manifest, layout).await?;
        let Manifest { config, mut layers } = manifest;
        for layer in &mut layers {
            // The same bytes by OCI's name.
            if layer.media_type == DOCKER_LAYER_TYPE {
                LAYER_TYPE.clone_into(&mut layer.media_type);
            }
        }
        let config: Value = serde_json::from_slice(&layout.read(&config)?)
            .map_err(|_| protocol("the image's configuration is not JSON"))?;
        if config["rootfs"]["diff_ids"].as_array().map(Vec::len) != Some(layers.len()) {
            return Err(protocol("the image's configuration and manifest disagree on its layers"));
        }
        Ok(Base { reference: reference.clone(), digest, layers, config })
    }
}

impl Image {
    /// # Errors
    /// When the layout cannot be written.
    pub fn build(contents: &Contents, base: Option<&Base>, name: &str, layout: &Layout) -> Result<Image, OciError> {
        let packed = contents.layer.pack(contents.created).map_err(OciError::file("the image's layer"))?;
        let layer = layout.put(LAYER_TYPE, &packed.bytes)?;
        let mut layers = base.map(|base| base.layers.clone()).unwrap_or_default();
        layers.push(layer);
        let config = layout.put(CONFIG_TYPE, config(contents, base, &packed.diff_id).to_string().as_bytes())?;
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config,
            "layers": layers,
        });
        let mut annotations = contents.labels.clone();
        if let Some(base) = base {
            annotations.insert("org.opencontainers.image.base.name".to_owned(), base.reference.to_string());
            annotations.insert("org.opencontainers.image.base.digest".to_owned(), base.digest.to_string());
        }
        manifest["annotations"] = json!(annotations);
        let manifest = layout.finish(layout.put(MANIFEST_TYPE, manifest.to_string().as_bytes())?, name)?;
        let size = layers.iter().map(|layer| layer.size).sum::<u64>() + config.size + manifest.size;
        Ok(Image { manifest, size })
    }
}

fn config(contents: &Contents, base: Option<&Base>, diff_id: &Digest) -> Value {
    let inherited = base.map(|base| base.config.clone()).unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut env: Vec<Value> = list(&inherited["config"]["Env"]);
    for (name, value) in &contents.env {
        env.retain(|one| one.as_str().and_then(|text| text.split_once('=')).is_none_or(|(own, _)| own != name));
        env.push(json!(format!("{name}={value}")));
    }
    let mut labels: Map<String, Value> = inherited["config"]["Labels"].as_object().cloned().unwrap_or_default();
    labels.extend(contents.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
    let mut diff_ids = list(&inherited["rootfs"]["diff_ids"]);
    diff_ids.push(json!(diff_id));
    let mut history = list(&inherited["history"]);
    let created = contents.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    history.push(json!({"created": created, "created_by": contents.created_by}));
    json!({
        "created": created,
        "architecture": contents.architecture.name(),
        "os": "linux",
        "config": {
            "User": contents.user,
            "ExposedPorts": {format!("{}/tcp", contents.port): {}},
            "Env": env,
            "Entrypoint": contents.entrypoint,
            "WorkingDir": "/",
            "Labels": labels,
            "StopSignal": contents.stop_signal,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
}
