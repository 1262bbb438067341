//! What can go wrong with an image or a registry.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error("`{text}` is not an image reference: {reason}")]
    Reference { text: String, reason: &'static str },
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is not a program for Linux containers: {reason}", path.display())]
    Program { path: PathBuf, reason: String },
    #[error("{} is not an OCI image layout: {reason}", path.display())]
    Layout { path: PathBuf, reason: String },
    #[error("{what} is {found} and should be {wanted}")]
    Digest { what: String, wanted: String, found: String },
    #[error("the registry {registry} cannot be reached")]
    Unreachable { registry: String, source: reqwest::Error },
    /// The registry's own words, where it has any.
    #[error("the registry {registry} answered {method} {path} with {status}: {message}")]
    Refused { registry: String, method: String, path: String, status: u16, message: String },
    #[error("the registry {registry} does not speak the OCI distribution protocol: {reason}")]
    Protocol { registry: String, reason: String },
    #[error("{} does not hold credentials as Docker writes them: {reason}", path.display())]
    Credentials { path: PathBuf, reason: String },
    #[error("{reference} has no image for {platform}")]
    Platform { reference: String, platform: String },
    #[error("layer {layer} cannot be unpacked: {reason}")]
    Layer { layer: String, reason: String },
    #[error("the image's {what} cannot be used: {reason}")]
    Manifest { what: &'static str, reason: String },
}

impl OciError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> OciError {
        let path = path.into();
        move |source| OciError::File { path, source }
    }

    /// With its cause, in one line.
    pub fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }

    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            OciError::Reference { .. } => {
                "Write it as REGISTRY/REPOSITORY:TAG, for example marea.azurecr.io/backend:0.1.0."
            }
            OciError::File { .. } => "Check the path, its permissions and the disk's free space.",
            OciError::Program { .. } => {
                "Build it statically: `RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target x86_64-unknown-linux-gnu`, or for musl; `marea image build backend` without --program does."
            }
            OciError::Layout { .. } | OciError::Digest { .. } => {
                "Build the image again; what was downloaded is downloaded again."
            }
            OciError::Unreachable { .. } => {
                "Check the registry's name and the network, then run the same command again: what was sent is not sent twice."
            }
            OciError::Refused { status: 401 | 403, .. } => {
                "Sign in: `az acr login -n NAME` or `docker login REGISTRY`, or set MAREA_REGISTRY_USERNAME and MAREA_REGISTRY_PASSWORD. Pushing needs the role AcrPush."
            }
            OciError::Refused { status: 404, .. } => "Check the repository's name and the tag or digest.",
            OciError::Refused { status: 413, .. } => "The registry takes no blob of this size.",
            OciError::Refused { .. } => "Run the same command again: what was sent is not sent twice.",
            OciError::Protocol { .. } => "Check that the address is a registry's, without a path.",
            OciError::Credentials { .. } => "Sign in again with `az acr login -n NAME` or `docker login REGISTRY`.",
            OciError::Platform { .. } => "Choose a base image that is published for it.",
            OciError::Layer { .. } | OciError::Manifest { .. } => {
                "Build the image again with another tool, or choose another one."
            }
        }
    }
}
