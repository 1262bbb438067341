//! A registry as the distribution-spec describes it, in memory, with a record of what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::BodyExt;
use oci::Digest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Anybody,
    Basic,
    Bearer,
}

type Blobs = BTreeMap<(String, String), Vec<u8>>;

#[derive(Default)]
struct Registry {
    blobs: Blobs,
    manifests: Blobs,
    uploads: BTreeMap<String, Vec<u8>>,
    asked: Vec<String>,
    failures: VecDeque<u16>,
    refused: Vec<String>,
}

#[derive(Clone)]
struct Shared {
    registry: Arc<Mutex<Registry>>,
    access: Access,
    address: String,
}

pub struct Server {
    /// `127.0.0.1:PORT`
    pub address: String,
    registry: Arc<Mutex<Registry>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(access: Access) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Arc::<Mutex<Registry>>::default();
        let shared = Shared { registry: registry.clone(), access, address: address.clone() };
        let router = Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Server { address, registry, task }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self, what: &str) -> usize {
        self.registry().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }

    /// Uploads that came without a right to them.
    pub fn uploads_refused(&self) -> usize {
        self.registry().refused.iter().filter(|method| ["PUT", "PATCH"].contains(&method.as_str())).count()
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.registry().blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    pub fn fail_next(&self, statuses: &[u16]) {
        self.registry().failures.extend(statuses);
    }

    pub fn put_manifest(&self, repository: &str, tag: &str, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        let mut registry = self.registry();
        registry.manifests.insert((repository.to_owned(), tag.to_owned()), bytes.clone());
        registry.manifests.insert((repository.to_owned(), digest.clone()), bytes);
        digest
    }

    pub fn corrupt_blobs(&self, repository: &str) {
        corrupt(&mut self.registry().blobs, repository);
    }

    pub fn corrupt_manifests(&self, repository: &str) {
        corrupt(&mut self.registry().manifests, repository);
    }
}

fn corrupt(blobs: &mut Blobs, repository: &str) {
    for ((_, _), bytes) in blobs.iter_mut().filter(|((own, _), _)| own == repository) {
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
    }
}

fn respond(status: u16, headers: &[(&str, String)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(body.into()).unwrap()
}

fn refuse(status: u16, code: &str) -> Response<Body> {
    respond(status, &[], format!(r#"{{"errors": [{{"code": "{code}", "message": "no"}}]}}"#))
}

async fn answer(State(shared): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let (method, uri, headers) = (parts.method, parts.uri, parts.headers);
    if uri.path() == "/token" {
        return token(&method, &uri, &headers, &body);
    }
    let mut registry = shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = registry.failures.pop_front() {
        return respond(status, &[("retry-after", "0".to_owned())], "");
    }
    if !is_let_in(&shared, &headers, &uri) {
        registry.refused.push(method.to_string());
        let challenge = match shared.access {
            Access::Bearer => format!(r#"Bearer realm="http://{}/token",service="test""#, shared.address),
            _ => r#"Basic realm="test""#.to_owned(),
        };
        let mut response = refuse(401, "UNAUTHORIZED");
        response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        return response;
    }
    registry.handle(&method, &uri, &headers, body)
}

fn is_me(headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", BASE64.encode("me:secret"));
    headers.get("authorization").is_some_and(|value| value == expected.as_str())
}

/// The token names its scope, so that one repository's token does not open another.
fn is_let_in(shared: &Shared, headers: &HeaderMap, uri: &Uri) -> bool {
    match shared.access {
        Access::Anybody => true,
        Access::Basic => is_me(headers),
        Access::Bearer => {
            let repository = repository_of(uri.path());
            let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            value
                .strip_prefix("Bearer t-")
                .is_some_and(|scope| scope.contains(&format!("repository:{repository}:pull")))
        }
    }
}

fn token(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let form = if *method == Method::POST {
        String::from_utf8_lossy(body).into_owned()
    } else {
        uri.query().unwrap_or_default().to_owned()
    };
    let fields: BTreeMap<String, String> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let by_refresh = fields.get("refresh_token").is_some_and(|token| token == "refresh");
    if fields.get("service").map(String::as_str) != Some("test") || !(is_me(headers) || by_refresh) {
        return refuse(401, "UNAUTHORIZED");
    }
    let name = if by_refresh { "access_token" } else { "token" };
    respond(200, &[], format!(r#"{{"{name}": "t-{}"}}"#, fields["scope"]))
}

/// `/v2/<name>/{blobs,manifests}/…`
fn repository_of(path: &str) -> &str {
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    rest.split("/blobs/").next().and_then(|rest| rest.split("/manifests/").next()).unwrap_or_default()
}

impl Registry {
    fn handle(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Vec<u8>) -> Response<Body> {
        let path = uri.path().to_owned();
        let repository = repository_of(&path).to_owned();
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let kind = if path.contains("/manifests/") {
            "manifest"
        } else if path.contains("/uploads/") {
            "upload"
        } else {
            "blob"
        };
        self.asked.push(format!("{method} {kind}"));
        let key = (repository.clone(), last.clone());
        match (method.as_str(), kind) {
            ("HEAD", "blob") if self.blobs.contains_key(&key) => respond(200, &[], ""),
            ("HEAD", _) => respond(404, &[], ""),
            ("GET", "blob") => self
                .blobs
                .get(&key)
                .map_or_else(|| refuse(404, "BLOB_UNKNOWN"), |bytes| respond(200, &[], bytes.clone())),
            ("GET", _) => self
                .manifests
                .get(&key)
                .map_or_else(|| refuse(404, "MANIFEST_UNKNOWN"), |bytes| respond(200, &[], bytes.clone())),
            ("POST", _) => self.open(&repository, &query),
            ("PATCH", _) => self.piece(&path, &last, headers, &body),
            ("PUT", "upload") => self.close(&repository, &last, &query, &body),
            ("PUT", "manifest") => self.store_manifest(&repository, &last, body),
            _ => refuse(405, "UNSUPPORTED"),
        }
    }

    fn open(&mut self, repository: &str, query: &BTreeMap<String, String>) -> Response<Body> {
        if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
            && let Some(bytes) = self.blobs.get(&(from.clone(), digest.clone())).cloned()
        {
            self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
            return respond(201, &[("location", format!("/v2/{repository}/blobs/{digest}"))], "");
        }
        let id = format!("u{}", self.asked.len());
        self.uploads.insert(id.clone(), Vec::new());
        respond(202, &[("location", format!("/v2/{repository}/blobs/uploads/{id}?state=0"))], "")
    }

    fn piece(&mut self, path: &str, id: &str, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
        let Some(upload) = self.uploads.get_mut(id) else { return refuse(404, "BLOB_UPLOAD_UNKNOWN") };
        let expected = format!("{}-{}", upload.len(), upload.len() + body.len() - 1);
        if headers.get("content-range").is_none_or(|range| range != expected.as_str()) {
            return refuse(416, "BLOB_UPLOAD_INVALID");
        }
        upload.extend_from_slice(body);
        respond(202, &[("location", format!("{path}?state={}", upload.len()))], "")
    }

    fn close(&mut self, repository: &str, id: &str, query: &BTreeMap<String, String>, body: &[u8]) -> Response<Body> {
        let Some(mut upload) = self.uploads.remove(id) else { return refuse(404, "BLOB_UPLOAD_UNKNOWN") };
        upload.extend_from_slice(body);
        let digest = Digest::of(&upload).to_string();
        if query.get("digest") != Some(&digest) || !query.contains_key("state") {
            return refuse(400, "DIGEST_INVALID");
        }
        self.blobs.insert((repository.to_owned(), digest), upload);
        respond(StatusCode::CREATED.as_u16(), &[], "")
    }

    fn store_manifest(&mut self, repository: &str, version: &str, body: Vec<u8>) -> Response<Body> {
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let layers = value["layers"].as_array().into_iter().flatten().chain([&value["config"]]);
        let missing = layers
            .filter_map(|layer| layer["digest"].as_str())
            .any(|digest| !self.blobs.contains_key(&(repository.to_owned(), digest.to_owned())));
        if missing {
            return refuse(400, "MANIFEST_BLOB_UNKNOWN");
        }
        let digest = Digest::of(&body).to_string();
        self.manifests.insert((repository.to_owned(), version.to_owned()), body.clone());
        self.manifests.insert((repository.to_owned(), digest.clone()), body);
        respond(201, &[("docker-content-digest", digest)], "")
    }
}
