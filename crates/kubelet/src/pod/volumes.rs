//! Makes a pod's volumes on the host and keeps them current.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use units::{Millis, Timestamp};

use super::downward::Facts;
use super::payload::{self, Payload};
use crate::config::{Config, TokenRequest};
use crate::images::Mounts;
use kube_server::Client;

/// Where every client library looks for the pod's own token.
pub(crate) const SERVICE_ACCOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const DEFAULT_MODE: i32 = 0o644;
/// Upstream's default `expirationSeconds` of a projected token.
const TOKEN_SECONDS: i64 = 3600;

/// Tokens that volumes hold, by audience, with when they are to be replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    issued: BTreeMap<String, (String, Timestamp)>,
}

pub(crate) struct Volumes<'a> {
    pub client: &'a Client,
    pub config: &'a Config,
    pub facts: &'a Facts<'a>,
    /// `volumes/` of the pod.
    pub directory: &'a Path,
}

impl Volumes<'_> {
    /// Creates and refreshes every volume.
    ///
    /// # Errors
    /// Worded as upstream's `FailedMount`: which volume, and what is missing.
    pub(crate) async fn sync(&self, tokens: &mut Tokens, now: Timestamp) -> Result<(), String> {
        let volumes = self.facts.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for volume in volumes {
            let failed = |reason: String| format!("MountVolume.SetUp failed for volume {:?} : {reason}", volume.name);
            let path = self.directory.join(&volume.name);
            match self.payload(volume, tokens, now).await.map_err(failed)? {
                Some(payload) => payload::write(&path, &payload).map_err(|error| failed(error.to_string()))?,
                None => std::fs::create_dir_all(&path).map_err(|error| failed(error.to_string()))?,
            }
        }
        Ok(())
    }

    /// The files of a volume; none for one that is an empty directory.
    async fn payload(&self, volume: &Volume, tokens: &mut Tokens, now: Timestamp) -> Result<Option<Payload>, String> {
        let mut payload = Payload::new();
        if volume.empty_dir.is_some() {
            return Ok(None);
        } else if let Some(source) = &volume.config_map {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            self.config_map(&source.name, source.items.as_deref(), source.optional, mode, &mut payload)?;
        } else if let Some(source) = &volume.secret {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            let name = source.secret_name.as_deref().unwrap_or_default();
            self.secret(name, source.items.as_deref(), source.optional, mode, &mut payload)?;
        } else if let Some(source) = &volume.downward_api {
            self.downward(
                source.items.as_deref().unwrap_or_default(),
                source.default_mode.unwrap_or(DEFAULT_MODE),
                &mut payload,
            )?;
        } else if let Some(source) = &volume.projected {
            self.projected(&volume.name, source, tokens, now, &mut payload).await?;
        } else {
            return Err(
                "this kind of volume is not supported; use configMap, secret, projected, downwardAPI or emptyDir"
                    .into(),
            );
        }
        Ok(Some(payload))
    }

    async fn projected(
        &self,
        volume: &str,
        projected: &ProjectedVolumeSource,
        tokens: &mut Tokens,
        now: Timestamp,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        for source in projected.sources.iter().flatten() {
            let VolumeProjection { config_map, secret, downward_api, service_account_token, .. } = source;
            if let Some(source) = config_map {
                self.config_map(&source.name, source.items.as_deref(), source.optional, mode, payload)?;
            } else if let Some(source) = secret {
                self.secret(&source.name, source.items.as_deref(), source.optional, mode, payload)?;
            } else if let Some(source) = downward_api {
                self.downward(source.items.as_deref().unwrap_or_default(), mode, payload)?;
            } else if let Some(source) = service_account_token {
                let token = self.token(source, tokens, now).await?;
                insert(payload, &source.path, token.into_bytes(), mode_bits(mode))?;
                if source.audience.as_deref().unwrap_or("").is_empty() {
                    let place = match self.config.dialer.router() {
                        Some(_) => PathBuf::from(SERVICE_ACCOUNT_PATH),
                        None => self.directory.join(volume),
                    };
                    let kubeconfig = self.kubeconfig(&place, &source.path);
                    insert(payload, "kubeconfig", kubeconfig.into_bytes(), mode_bits(mode))?;
                }
            } else {
                return Err(
                    "a projected source is not supported; use configMap, secret, downwardAPI or serviceAccountToken"
                        .into(),
                );
            }
        }
        Ok(())
    }

    /// A token is replaced when four fifths of its life are over, as upstream's token manager does.
    async fn token(
        &self,
        source: &ServiceAccountTokenProjection,
        tokens: &mut Tokens,
        now: Timestamp,
    ) -> Result<String, String> {
        let audience = source.audience.clone().unwrap_or_default();
        if let Some((token, replace_at)) = tokens.issued.get(&audience)
            && now < *replace_at
        {
            return Ok(token.clone());
        }
        let pod = self.facts.pod;
        let spec = pod.spec.as_ref();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let expiration_seconds = source.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        let request = TokenRequest {
            namespace: text(pod.metadata.namespace.as_ref()),
            service_account: spec
                .and_then(|spec| spec.service_account_name.clone())
                .unwrap_or_else(|| "default".into()),
            pod_name: text(pod.metadata.name.as_ref()),
            pod_uid: text(pod.metadata.uid.as_ref()),
            node_name: text(spec.and_then(|spec| spec.node_name.as_ref())),
            audience: audience.clone(),
            expiration_seconds,
        };
        let token =
            self.config.tokens.token(&request).await.map_err(|error| format!("failed to fetch token: {error}"))?;
        tokens.issued.insert(audience, (token.clone(), now + Millis(expiration_seconds * 800)));
        Ok(token)
    }

    /// For programs that would look under [`SERVICE_ACCOUNT_PATH`], which without isolation is somewhere else.
    fn kubeconfig(&self, volume: &Path, token_path: &str) -> String {
        let namespace = self.facts.pod.metadata.namespace.as_deref().unwrap_or("default");
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "marea", "cluster": {
                "server": format!("https://{}", self.config.api_server),
                "certificate-authority": volume.join("ca.crt"),
            }}],
            "users": [{"name": "pod", "user": {"tokenFile": volume.join(token_path)}}],
            "contexts": [{"name": "marea", "context": {"cluster": "marea", "user": "pod", "namespace": namespace}}],
            "current-context": "marea",
        });
        config.to_string()
    }

    fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let namespace = self.facts.pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(map) = self.client.get::<ConfigMap>(Some(namespace), name) else {
            return absent(optional, || format!("configmap {name:?} not found"));
        };
        let mut data: BTreeMap<String, Vec<u8>> =
            map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes())).collect();
        data.extend(map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())));
        select(&data, items, optional, mode, payload)
    }

    fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let namespace = self.facts.pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(secret) = self.client.get::<Secret>(Some(namespace), name) else {
            return absent(optional, || format!("secret {name:?} not found"));
        };
        let data = secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect();
        select(&data, items, optional, mode, payload)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], mode: i32, payload: &mut Payload) -> Result<(), String> {
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(selector), _) => self.facts.field(selector)?,
                (None, Some(selector)) => self.facts.resource(selector, None)?,
                (None, None) => return Err(format!("downward API item {:?} names no field", item.path)),
            };
            insert(payload, &item.path, text.into_bytes(), mode_bits(item.mode.unwrap_or(mode)))?;
        }
        Ok(())
    }
}

fn absent(optional: Option<bool>, message: impl Fn() -> String) -> Result<(), String> {
    if optional.unwrap_or(false) { Ok(()) } else { Err(message()) }
}

fn select(
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    payload: &mut Payload,
) -> Result<(), String> {
    let Some(items) = items else {
        return data.iter().try_for_each(|(key, content)| insert(payload, key, content.clone(), mode_bits(mode)));
    };
    for item in items {
        match data.get(&item.key) {
            Some(content) => insert(payload, &item.path, content.clone(), mode_bits(item.mode.unwrap_or(mode)))?,
            None => absent(optional, || format!("references non-existent key: {}", item.key))?,
        }
    }
    Ok(())
}

/// Refuses paths that would leave the volume or touch its own bookkeeping.
fn insert(payload: &mut Payload, path: &str, content: Vec<u8>, mode: u32) -> Result<(), String> {
    let safe = !path.is_empty()
        && !path.starts_with('/')
        && path.split('/').all(|part| !part.is_empty() && part != "." && !part.starts_with(".."));
    if !safe {
        return Err(format!("path {path:?} is not inside the volume"));
    }
    payload.insert(path.to_owned(), (content, mode));
    Ok(())
}

fn mode_bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0o644) & 0o777
}

/// Where a container's mounts are, and where its service-account files are.
///
/// # Errors
/// When a mount names a volume that the pod does not have or a path outside of it.
pub(crate) fn mounts(
    pod: &Pod,
    container: &Container,
    volumes: &Path,
    env: &BTreeMap<String, String>,
) -> Result<(Mounts, Option<PathBuf>), String> {
    let known: Vec<&Volume> = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).collect();
    let mut mounts = Vec::new();
    let mut service_account = None;
    for mount in container.volume_mounts.iter().flatten() {
        if !known.iter().any(|volume| volume.name == mount.name) {
            return Err(format!("volume {:?} of container {:?} not found", mount.name, container.name));
        }
        let mut host = volumes.join(&mount.name);
        let expanded =
            mount.sub_path_expr.as_ref().map(|text| super::expand::expand(text, |name| env.get(name).cloned()));
        if let Some(inside) = expanded.or_else(|| mount.sub_path.clone()).filter(|inside| !inside.is_empty()) {
            if inside.starts_with('/') || inside.split('/').any(|part| part == "..") {
                return Err(format!("subPath {inside:?} of container {:?} is not inside the volume", container.name));
            }
            host = host.join(inside);
            if !host.exists() {
                std::fs::create_dir_all(&host)
                    .map_err(|error| format!("failed to create subPath {}: {error}", host.display()))?;
            }
        }
        if mount.mount_path.trim_end_matches('/') == SERVICE_ACCOUNT_PATH {
            service_account = Some(host.clone());
        }
        mounts.push((mount.mount_path.clone(), host));
    }
    Ok((Mounts::new(mounts), service_account))
}

/// True when the pod's volumes can change without the pod changing.
pub(crate) fn are_live(pod: &Pod) -> bool {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).any(|volume| volume.empty_dir.is_none())
}
