//! A registry's side of the OCI distribution-spec 1.1: tokens, manifests, blobs. Uploads are in `upload`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::auth::{Challenge, Credential};
use crate::blocking::blocking;
use crate::digest::{Descriptor, Digest};
use crate::elf::Architecture;
use crate::error::OciError;
use crate::image::{DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE, MANIFEST_TYPE};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::reference::Reference;

/// How a blob came to be in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    Existed,
    /// From another repository of the same registry, without sending it.
    Mounted,
    Uploaded,
}

/// A manifest that a registry gave.
pub(crate) struct Found {
    /// Of what the reference names, which may be an index.
    pub named: Digest,
    /// Of the manifest itself.
    pub own: Digest,
    pub value: Value,
}

/// A client of one registry.
#[derive(Clone, Debug)]
pub struct Registry {
    client: reqwest::Client,
    pub(crate) name: String,
    pub(crate) endpoint: Url,
    credential: Option<Credential>,
    /// The header that the last scope was let in with.
    authorization: Arc<Mutex<Option<(String, String)>>>,
}

/// Throttling and passing faults are waited out this often, the waits doubling from half a second unless the registry names one.
const ATTEMPTS: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A manifest larger than this is none (distribution-spec names 4 MiB as what registries should take).
const MANIFEST_BYTES: usize = 4 << 20;

impl Registry {
    /// The registry of a reference. Nothing is sent yet.
    ///
    /// # Errors
    /// When its name makes no address.
    pub fn new(reference: &Reference, credential: Option<Credential>) -> Result<Registry, OciError> {
        let protocol = |reason: String| OciError::Protocol { registry: reference.registry.clone(), reason };
        let endpoint = Url::parse(&reference.endpoint()).map_err(|error| protocol(error.to_string()))?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("marea/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| protocol(error.to_string()))?;
        Ok(Registry { client, name: reference.registry.clone(), endpoint, credential, authorization: Arc::default() })
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, OciError> {
        self.endpoint.join(path).map_err(|error| self.protocol(format!("{path}: {error}")))
    }

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> OciError {
        OciError::Protocol { registry: self.name.clone(), reason: reason.into() }
    }

    /// Sends what `build` makes until the registry takes or refuses it; answers its challenge once.
    pub(crate) async fn send(
        &self,
        scope: &str,
        method: Method,
        url: &Url,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let mut challenged = false;
        let mut attempt = 0;
        loop {
            let mut request = build(self.client.request(method.clone(), url.clone()));
            if let Some(header) = self.authorization_for(scope).await.filter(|_| url.origin() == self.endpoint.origin())
            {
                request = request.header(AUTHORIZATION, header);
            }
            let answer = request.send().await;
            attempt += 1;
            let wait = match &answer {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !challenged => {
                    challenged = true;
                    self.answer_challenge(answer, scope).await?;
                    continue;
                }
                Ok(answer) if is_passing(answer.status()) => retry_after(answer),
                _ => None,
            };
            let again = match &answer {
                Ok(answer) => is_passing(answer.status()),
                // Whoever does not listen at the first attempt seldom does later; a connection that broke is worth another one.
                Err(error) => !error.is_connect() && !error.is_builder(),
            };
            if again && attempt < ATTEMPTS {
                let pause = wait.unwrap_or_else(|| Duration::from_millis(500) * 2_u32.pow(attempt - 1));
                tokio::time::sleep(pause.min(LONGEST_WAIT)).await;
                continue;
            }
            return answer.map_err(|source| OciError::Unreachable { registry: self.name.clone(), source });
        }
    }

    /// As [`Registry::send`], for a status that the caller expects.
    pub(crate) async fn expect(
        &self,
        scope: &str,
        method: Method,
        url: &Url,
        expected: &[StatusCode],
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let answer = self.send(scope, method.clone(), url, build).await?;
        if expected.contains(&answer.status()) {
            Ok(answer)
        } else {
            Err(self.refused(method.as_str(), url, answer).await)
        }
    }

    pub(crate) async fn refused(&self, method: &str, url: &Url, answer: Response) -> OciError {
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let errors: Vec<String> = value["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| {
                Some(format!("{}: {}", error["code"].as_str()?, error["message"].as_str().unwrap_or_default()))
            })
            .collect();
        let message = if errors.is_empty() {
            status.canonical_reason().unwrap_or("no reason").to_owned()
        } else {
            errors.join("; ")
        };
        OciError::Refused {
            registry: self.name.clone(),
            method: method.to_owned(),
            path: url.path().to_owned(),
            status: status.as_u16(),
            message,
        }
    }

    async fn authorization_for(&self, scope: &str) -> Option<String> {
        self.authorization.lock().await.as_ref().filter(|(own, _)| own == scope).map(|(_, header)| header.clone())
    }

    async fn answer_challenge(&self, answer: &Response, scope: &str) -> Result<(), OciError> {
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.filter_map(|value| Challenge::parse(value.to_str().ok()?)).next();
        let header = match (challenge, &self.credential) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                format!("Bearer {}", self.token(&realm, service.as_deref(), scope).await?)
            }
            (Some(Challenge::Basic), Some(Credential::Password { username, password })) => basic(username, password),
            // Nobody is signed in: the refusal itself says so.
            (Some(Challenge::Basic), _) => return Ok(()),
            (None, _) => return Err(self.protocol("it refuses without saying how to sign in")),
        };
        *self.authorization.lock().await = Some((scope.to_owned(), header));
        Ok(())
    }

    /// The token flow of distribution's `token` and `oauth2` documents.
    async fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> Result<String, OciError> {
        let mut url =
            Url::parse(realm).map_err(|_| self.protocol(format!("its token service `{realm}` is not an address")))?;
        let is_here = |url: &Url| url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."));
        if url.scheme() != "https" && !(is_here(&url) && is_here(&self.endpoint)) {
            return Err(
                self.protocol(format!("its token service `{realm}` has no TLS, so no credential is sent there"))
            );
        }
        let mut fields = vec![("scope", scope)];
        fields.extend(service.map(|service| ("service", service)));
        let request = match &self.credential {
            Some(Credential::IdentityToken(token)) => {
                fields.extend([("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "marea")]);
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                let form = "application/x-www-form-urlencoded";
                self.client.post(url.clone()).header(reqwest::header::CONTENT_TYPE, form).body(body)
            }
            other => {
                url.query_pairs_mut().extend_pairs(fields);
                let request = self.client.get(url.clone());
                match other {
                    Some(Credential::Password { username, password }) => {
                        request.header(AUTHORIZATION, basic(username, password))
                    }
                    _ => request,
                }
            }
        };
        let answer =
            request.send().await.map_err(|source| OciError::Unreachable { registry: self.name.clone(), source })?;
        if !answer.status().is_success() {
            return Err(self.refused("GET", &url, answer).await);
        }
        let body =
            answer.bytes().await.map_err(|source| OciError::Unreachable { registry: self.name.clone(), source })?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = value["token"].as_str().or(value["access_token"].as_str()).filter(|token| !token.is_empty());
        token.map(str::to_owned).ok_or_else(|| self.protocol("its token service gave no token"))
    }

    /// A manifest or index as it is stored, with its digest.
    pub(crate) async fn manifest(&self, reference: &Reference, version: &str) -> Result<(Digest, Value), OciError> {
        let url = self.url(&format!("/v2/{}/manifests/{version}", reference.repository))?;
        let accept = [MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE].join(", ");
        let scope = pull_scope(&reference.repository);
        let answer = self
            .expect(&scope, Method::GET, &url, &[StatusCode::OK], |request| request.header(ACCEPT, &accept))
            .await?;
        let body =
            answer.bytes().await.map_err(|source| OciError::Unreachable { registry: self.name.clone(), source })?;
        if body.len() > MANIFEST_BYTES {
            return Err(self.protocol(format!("the manifest of {reference} has {} bytes", body.len())));
        }
        let digest = Digest::of(&body);
        if let Some(wanted) = Digest::parse(version).filter(|wanted| *wanted != digest) {
            let what = format!("the manifest of {reference}");
            return Err(OciError::Digest { what, wanted: wanted.to_string(), found: digest.to_string() });
        }
        let value = serde_json::from_slice(&body)
            .map_err(|_| self.protocol(format!("the manifest of {reference} is not JSON")))?;
        Ok((digest, value))
    }

    /// The digest that a tag stands for right now.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub async fn resolve(&self, reference: &Reference) -> Result<Digest, OciError> {
        Ok(self.manifest(reference, &reference.version()).await?.0)
    }

    /// The image of one architecture; an index is followed.
    pub(crate) async fn image_manifest(
        &self,
        reference: &Reference,
        architecture: Architecture,
    ) -> Result<Found, OciError> {
        let (named, value) = self.manifest(reference, &reference.version()).await?;
        let Some(manifests) = value["manifests"].as_array() else {
            return Ok(Found { own: named.clone(), named, value });
        };
        let wanted = |descriptor: &Descriptor| descriptor.is_for(architecture);
        let found = manifests.iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).find(wanted);
        let Some(found) = found else {
            let platform = format!("linux/{}", architecture.name());
            return Err(OciError::Platform { reference: reference.to_string(), platform });
        };
        let (own, value) = self.manifest(reference, &found.digest.to_string()).await?;
        Ok(Found { named, own, value })
    }

    /// Downloads the parts of an image that the layout does not have yet.
    pub(crate) async fn download_missing(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        layout: &Layout,
    ) -> Result<(), OciError> {
        for blob in manifest.blobs() {
            let (kept, wanted) = (layout.clone(), blob.clone());
            if !blocking(move || Ok(kept.has(&wanted))).await? {
                self.download(reference, blob, layout).await?;
            }
        }
        Ok(())
    }

    async fn download(&self, reference: &Reference, blob: &Descriptor, layout: &Layout) -> Result<(), OciError> {
        let url = self.url(&format!("/v2/{}/blobs/{}", reference.repository, blob.digest))?;
        let scope = pull_scope(&reference.repository);
        let mut answer = self.expect(&scope, Method::GET, &url, &[StatusCode::OK], |request| request).await?;
        let mut receiver = layout.receive(blob)?;
        let broken = |source| OciError::Unreachable { registry: self.name.clone(), source };
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            receiver.piece(&piece)?;
        }
        receiver.keep()
    }
}

pub(crate) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn basic(username: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")))
}

fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn retry_after(answer: &Response) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
