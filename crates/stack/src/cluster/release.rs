//! Releases: what was applied, kept in the cluster as immutable compressed Secrets, the source of a rollback.

use std::io::{Read, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::applyset::PARENT_NAMESPACE;
use super::client::{Cluster, ClusterError};
use super::kinds::{Kind, kind};
use super::manifest::Manifest;

/// Older ones are deleted.
pub const KEPT_RELEASES: usize = 10;

const TYPE: &str = "marea.dev/release.v1";
const LABEL: &str = "marea.dev/release";
const COMMIT: &str = "marea.dev/commit";

/// One release. Secrets are not part of it: a rollback keeps the current ones, because an older password no longer opens anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    pub number: u64,
    pub commit: Option<String>,
    /// RFC 3339.
    pub at: String,
    pub manifests: Vec<Manifest>,
}

fn secret_kind() -> &'static Kind {
    kind("v1", "Secret").unwrap_or_else(|| unreachable!("the table has Secret"))
}

fn name(number: u64) -> String {
    format!("marea-release-{number}")
}

impl Release {
    /// The newest release that can be read, or `None`.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn latest(cluster: &Cluster) -> Result<Option<Release>, ClusterError> {
        let mut found = cluster.list_in(secret_kind(), Some(PARENT_NAMESPACE), LABEL).await?;
        found.sort_by_key(|secret| std::cmp::Reverse(number(secret)));
        Ok(found.iter().find_map(decode))
    }

    /// Keeps what was applied under the next number and drops what is too old.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn store(cluster: &Cluster, manifests: &[Manifest], commit: Option<&str>) -> Result<u64, ClusterError> {
        let existing = cluster.list_in(secret_kind(), Some(PARENT_NAMESPACE), LABEL).await?;
        let mut numbers: Vec<u64> = existing.iter().filter_map(number).collect();
        numbers.sort_unstable();
        let next = numbers.last().map_or(1, |last| last + 1);
        cluster.create(&encode(next, manifests, commit)).await?;
        let surplus = (numbers.len() + 1).saturating_sub(KEPT_RELEASES);
        for old in numbers.iter().take(surplus) {
            cluster.delete(secret_kind(), Some(PARENT_NAMESPACE), &name(*old)).await?;
        }
        Ok(next)
    }

    /// Deletes all of them.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn delete_all(cluster: &Cluster) -> Result<(), ClusterError> {
        for secret in cluster.list_in(secret_kind(), Some(PARENT_NAMESPACE), LABEL).await? {
            if let Some(name) = secret["metadata"]["name"].as_str() {
                cluster.delete(secret_kind(), Some(PARENT_NAMESPACE), name).await?;
            }
        }
        Ok(())
    }
}

fn number(secret: &Value) -> Option<u64> {
    secret["metadata"]["labels"][LABEL].as_str()?.parse().ok()
}

fn encode(number: u64, manifests: &[Manifest], commit: Option<&str>) -> Manifest {
    let objects: Vec<&Value> =
        manifests.iter().filter(|manifest| manifest.kind != secret_kind()).map(|manifest| &manifest.value).collect();
    let bytes = serde_json::to_vec(&objects).unwrap_or_default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let compressed = encoder.write_all(&bytes).and_then(|()| encoder.finish()).unwrap_or_default();
    let mut metadata =
        json!({"name": name(number), "namespace": PARENT_NAMESPACE, "labels": {LABEL: number.to_string()}});
    if let Some(commit) = commit {
        metadata["annotations"] = json!({COMMIT: commit});
    }
    let value = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": TYPE,
        "immutable": true,
        "data": {"release": BASE64.encode(compressed)},
    });
    Manifest { value, kind: secret_kind(), file: PathBuf::new() }
}

fn decode(secret: &Value) -> Option<Release> {
    let compressed = BASE64.decode(secret["data"]["release"].as_str()?).ok()?;
    let mut bytes = Vec::new();
    GzDecoder::new(compressed.as_slice()).read_to_end(&mut bytes).ok()?;
    let objects: Vec<Value> = serde_json::from_slice(&bytes).ok()?;
    Some(Release {
        number: number(secret)?,
        commit: secret["metadata"]["annotations"][COMMIT].as_str().map(str::to_owned),
        at: secret["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
        manifests: objects.into_iter().map(Manifest::generated).collect::<Result<_, _>>().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_back_without_its_secrets() {
        let service = Manifest::generated(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "a"}}),
        )
        .unwrap();
        let secret = Manifest::generated(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p", "namespace": "a"}, "data": {"p": "eA=="}})).unwrap();
        let encoded = encode(3, &[service.clone(), secret], Some("abc"));
        assert_eq!(encoded.value["immutable"], true);
        let release = decode(&encoded.value).unwrap();
        assert_eq!((release.number, release.commit.as_deref()), (3, Some("abc")));
        assert_eq!(release.manifests.iter().map(|m| m.key()).collect::<Vec<_>>(), [service.key()]);
    }
}
