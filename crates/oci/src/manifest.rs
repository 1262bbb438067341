//! A manifest and a configuration, read (OCI image-spec 1.1, manifest.md and config.md).

use serde_json::Value;

use crate::digest::{Descriptor, Digest};
use crate::error::OciError;
use crate::running::RunConfig;

/// An image's parts. Lower layers come first.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

fn refuse(what: &'static str, reason: impl Into<String>) -> OciError {
    OciError::Manifest { what, reason: reason.into() }
}

impl Manifest {
    pub fn parse(value: &Value) -> Result<Manifest, OciError> {
        if value["schemaVersion"] == 1 {
            return Err(refuse("manifest", "it is of Docker's first schema, which no registry should give any more"));
        }
        let part = |name: &str| value[name].clone();
        Ok(Manifest {
            config: serde_json::from_value(part("config"))
                .map_err(|error| refuse("manifest", format!("it has no configuration: {error}")))?,
            layers: serde_json::from_value(part("layers"))
                .map_err(|error| refuse("manifest", format!("it has no layers: {error}")))?,
        })
    }

    /// Everything that must be in a registry before the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.layers.iter().chain([&self.config])
    }

    /// Bytes of configuration and layers, as a container runtime reports an image's size.
    pub fn size(&self) -> u64 {
        self.blobs().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// How to run the image, and what its layers must be once they are decompressed.
pub(crate) fn configuration(bytes: &[u8], layers: usize) -> Result<(RunConfig, Vec<Digest>), OciError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| refuse("configuration", "it is not JSON"))?;
    let diff_ids: Vec<Digest> = serde_json::from_value(value["rootfs"]["diff_ids"].clone())
        .map_err(|error| refuse("configuration", format!("it has no list of diff_ids: {error}")))?;
    if diff_ids.len() != layers {
        return Err(refuse("configuration", "it and the manifest disagree on the number of layers"));
    }
    let run = match &value["config"] {
        Value::Null => RunConfig::default(),
        config => serde_json::from_value(config.clone()).map_err(|error| refuse("configuration", error.to_string()))?,
    };
    Ok((run, diff_ids))
}
