//! Where what is run for an image comes from.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Container;
use oci::Reference;

use super::{Entry, expand_place};
use crate::config::Config;
use crate::pod::launch::{NotReady, search_path};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// A program of this host, or a place that is only held.
    Host(&'a Entry),
    /// The image's own files, from a layout on this machine or from its registry.
    Image { reference: Reference, layout: Option<PathBuf> },
}

/// # Errors
/// When nothing can be run for the container's image on this cloud.
pub(crate) fn source<'a>(config: &'a Config, container: &Container) -> Result<Source<'a>, NotReady> {
    let image = container.image.as_deref().unwrap_or_default();
    let entry = config.catalogue.find(image);
    match entry {
        Some(entry) if !entry.is_image() => match entry.missing(&search_path()) {
            Some(missing) if !entry.optional => Err(NotReady::Image(format!(
                "image {image:?} runs `{}`, which is not installed: apt-get install {}",
                missing.program, missing.package
            ))),
            _ => Ok(Source::Host(entry)),
        },
        _ => from_image(config, image, entry),
    }
}

fn from_image<'a>(config: &'a Config, image: &str, entry: Option<&Entry>) -> Result<Source<'a>, NotReady> {
    let reference = Reference::parse(image).map_err(|error| {
        NotReady::InvalidName(format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format: {error}"
        ))
    })?;
    if config.images.is_none() {
        let lead = match entry {
            None => format!("no program is mapped to image {image:?}"),
            Some(_) => format!("image {image:?} is to run from its own files"),
        };
        return Err(NotReady::Image(format!(
            "{lead}, and without isolation pods run programs of this machine only: add an entry to local/images.yaml, or to images.yaml in the data directory: {{image: {image}, command: [program, argument]}}; a cloud in the sandbox (`marea local start --isolation sandbox`) runs images themselves"
        )));
    }
    let layout = entry.and_then(|entry| entry.layout.as_deref());
    let layout = layout.map(|text| expand_place(text, &config.repo_root, &config.bin_dir)).transpose();
    let layout = layout.map_err(|error| NotReady::Image(format!("image catalogue, entry for {image}: {error}")))?;
    Ok(Source::Image { reference, layout })
}
