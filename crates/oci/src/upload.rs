//! Pushing an image: blobs first, the manifest last, nothing twice (distribution-spec 1.1, "Push").

use std::fs::File;
use std::io::Read;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::digest::{Descriptor, Digest};
use crate::error::OciError;
use crate::layout::Layout;
use crate::reference::Reference;
use crate::registry::{Placed, Registry};

/// Larger blobs go in pieces of this size, so that no more than one piece is in memory.
const PIECE_BYTES: u64 = 8 << 20;

impl Registry {
    /// Pushes the layout's image under the reference's tag. `mount_from` is a repository of the same registry that may have
    /// blobs already. `placed` hears of each blob as it is there.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses; the same call again continues with what is missing.
    pub async fn push(
        &self,
        layout: &Layout,
        reference: &Reference,
        mount_from: Option<&str>,
        mut placed: impl FnMut(&Descriptor, Placed),
    ) -> Result<Digest, OciError> {
        let manifest = layout.manifest()?;
        let push =
            Push { registry: self, layout, repository: &reference.repository, scope: scope(reference, mount_from) };
        for blob in layout.blobs(&manifest)? {
            let how = push.blob(&blob, mount_from).await?;
            placed(&blob, how);
        }
        push.manifest(&manifest, &reference.version()).await
    }
}

/// One token for everything that a push does.
fn scope(reference: &Reference, mount_from: Option<&str>) -> String {
    let own = format!("repository:{}:pull,push", reference.repository);
    match mount_from {
        Some(other) => format!("{own} repository:{other}:pull"),
        None => own,
    }
}

struct Push<'a> {
    registry: &'a Registry,
    layout: &'a Layout,
    repository: &'a str,
    scope: String,
}

impl Push<'_> {
    async fn blob(&self, blob: &Descriptor, mount_from: Option<&str>) -> Result<Placed, OciError> {
        let url = self.registry.url(&format!("/v2/{}/blobs/{}", self.repository, blob.digest))?;
        let found = self.registry.send(&self.scope, Method::HEAD, &url, |request| request).await?;
        match found.status() {
            StatusCode::OK => return Ok(Placed::Existed),
            StatusCode::NOT_FOUND => {}
            _ => return Err(self.registry.refused("HEAD", &url, found).await),
        }
        let mut url = self.registry.url(&format!("/v2/{}/blobs/uploads/", self.repository))?;
        if let Some(other) = mount_from {
            url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", other);
        }
        let expected = [StatusCode::CREATED, StatusCode::ACCEPTED];
        let answer = self
            .registry
            .expect(&self.scope, Method::POST, &url, &expected, |request| request.header(CONTENT_LENGTH, 0))
            .await?;
        // A registry that cannot mount opens an upload instead.
        if answer.status() == StatusCode::CREATED && mount_from.is_some() {
            return Ok(Placed::Mounted);
        }
        let location = self.location(&url, answer.headers())?;
        let least = answer.headers().get("oci-chunk-min-length").and_then(|value| value.to_str().ok()?.parse().ok());
        self.send(blob, location, PIECE_BYTES.max(least.unwrap_or(0))).await?;
        Ok(Placed::Uploaded)
    }

    fn location(&self, base: &Url, headers: &HeaderMap) -> Result<Url, OciError> {
        let text = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| self.registry.protocol("an upload has no Location"))?;
        let url = base
            .join(text)
            .map_err(|_| self.registry.protocol(format!("the upload's Location `{text}` is not an address")))?;
        // The next request carries the token and the image.
        if url.origin() != self.registry.endpoint.origin() {
            return Err(self.registry.protocol(format!("it sends the upload to {}", url.host_str().unwrap_or("?"))));
        }
        Ok(url)
    }

    async fn send(&self, blob: &Descriptor, mut location: Url, piece: u64) -> Result<(), OciError> {
        if blob.size <= piece {
            let bytes = self.layout.read(blob)?;
            return self.close(location, blob, bytes).await;
        }
        let path = self.layout.path(&blob.digest);
        let mut file = File::open(&path).map_err(OciError::file(&path))?;
        let mut start = 0;
        while start < blob.size {
            let mut bytes = Vec::new();
            file.by_ref().take(piece).read_to_end(&mut bytes).map_err(OciError::file(&path))?;
            if bytes.is_empty() {
                return Err(OciError::Layout { path, reason: format!("the blob is shorter than {} bytes", blob.size) });
            }
            let end = start + bytes.len() as u64;
            let answer = self
                .registry
                .expect(&self.scope, Method::PATCH, &location, &[StatusCode::ACCEPTED], |request| {
                    request
                        .header(CONTENT_TYPE, "application/octet-stream")
                        .header(CONTENT_RANGE, format!("{start}-{}", end - 1))
                        .body(bytes.clone())
                })
                .await?;
            location = self.location(&location, answer.headers())?;
            start = end;
        }
        self.close(location, blob, Vec::new()).await
    }

    /// The registry checks the digest of the whole.
    async fn close(&self, mut location: Url, blob: &Descriptor, rest: Vec<u8>) -> Result<(), OciError> {
        location.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        self.registry
            .expect(&self.scope, Method::PUT, &location, &[StatusCode::CREATED], |request| {
                request
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .header(CONTENT_LENGTH, rest.len())
                    .body(rest.clone())
            })
            .await?;
        Ok(())
    }

    async fn manifest(&self, manifest: &Descriptor, version: &str) -> Result<Digest, OciError> {
        let bytes = self.layout.read(manifest)?;
        let url = self.registry.url(&format!("/v2/{}/manifests/{version}", self.repository))?;
        let answer = self
            .registry
            .expect(&self.scope, Method::PUT, &url, &[StatusCode::CREATED], |request| {
                request.header(CONTENT_TYPE, &manifest.media_type).body(bytes.clone())
            })
            .await?;
        let stored = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(stored) = stored.filter(|stored| *stored != manifest.digest.to_string()) {
            let what = "the manifest that the registry stored".to_owned();
            return Err(OciError::Digest { what, wanted: manifest.digest.to_string(), found: stored.to_owned() });
        }
        Ok(manifest.digest.clone())
    }
}
