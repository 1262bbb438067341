//! Who asks a registry: credentials as Docker keeps them, and the challenge that a registry answers with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::error::OciError;

#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        username: String,
        password: String,
    },
    /// A refresh token, as `az acr login` leaves it.
    IdentityToken(String),
}

/// What a credential is never shows up in debug output.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Password { username, .. } => {
                f.debug_struct("Password").field("username", username).finish_non_exhaustive()
            }
            Credential::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct DockerAuth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    /// Instead of `auth`, as Kubernetes' documentation shows it.
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl Credential {
    /// `MAREA_REGISTRY_USERNAME` and `MAREA_REGISTRY_PASSWORD`, else what `docker login` or `az acr login` wrote to
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`. `None` is nobody, which is enough for public images.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or keeps the registry's credentials in a helper program.
    pub fn find(registry: &str) -> Result<Option<Credential>, OciError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(username), Some(password)) =
            (variable("MAREA_REGISTRY_USERNAME"), variable("MAREA_REGISTRY_PASSWORD"))
        {
            return Ok(Some(Credential::Password { username, password }));
        }
        Credential::of_docker(registry)
    }

    /// What `docker login` or `az acr login` wrote for this registry alone.
    ///
    /// # Errors
    /// As [`Credential::find`].
    pub fn of_docker(registry: &str) -> Result<Option<Credential>, OciError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let folder = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".docker")));
        let Some(path) = folder.map(|folder| folder.join("config.json")).filter(|path| path.is_file()) else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&path).map_err(OciError::file(&path))?;
        in_config(&text, registry, &path)
    }

    /// From a document as Docker writes it, for instance a Secret of type `kubernetes.io/dockerconfigjson`; `name` is what
    /// an error calls it.
    ///
    /// # Errors
    /// When it is none.
    pub fn in_document(text: &str, registry: &str, name: &str) -> Result<Option<Credential>, OciError> {
        in_config(text, registry, Path::new(name))
    }
}

fn in_config(text: &str, registry: &str, path: &Path) -> Result<Option<Credential>, OciError> {
    let broken = |reason: String| OciError::Credentials { path: path.to_owned(), reason };
    let config: DockerConfig = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    // Docker Hub has its old address in these files.
    let names = if registry == "docker.io" { vec!["https://index.docker.io/v1/", registry] } else { vec![registry] };
    let found = config.auths.iter().find(|(key, _)| names.iter().any(|name| key == name || bare(key) == *name));
    match found.map(|(_, auth)| auth) {
        Some(DockerAuth { identitytoken: Some(token), .. }) if !token.is_empty() => {
            Ok(Some(Credential::IdentityToken(token.clone())))
        }
        Some(DockerAuth { auth: Some(auth), .. }) if !auth.is_empty() => {
            let decoded = BASE64.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            let (username, password) =
                pair.ok_or_else(|| broken(format!("the entry for {registry} is not base64 of user:password")))?;
            Ok(Some(Credential::Password { username: username.to_owned(), password: password.to_owned() }))
        }
        Some(DockerAuth { username: Some(username), password: Some(password), .. }) => {
            Ok(Some(Credential::Password { username: username.clone(), password: password.clone() }))
        }
        entry => match config.helpers.get(registry).or(config.store.as_ref().filter(|_| entry.is_some())) {
            Some(helper) => Err(broken(format!(
                "the credentials of {registry} are kept by docker-credential-{helper}, which is not asked; set MAREA_REGISTRY_USERNAME and MAREA_REGISTRY_PASSWORD"
            ))),
            None => Ok(None),
        },
    }
}

fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or(key)
}

/// A registry's `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// `Bearer realm="https://…",service="…",scope="…"` or `Basic realm="…"` (RFC 9110, 11.6.1).
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let realm = parameters.get("realm")?.clone();
        Some(Challenge::Bearer { realm, service: parameters.get("service").cloned() })
    }
}

/// Values may be quoted and then hold commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.trim().to_owned());
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, registry: &str, expected: Result<Option<Credential>, &str>) {
        match (in_config(config, registry, Path::new("config.json")), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn credentials_are_read_as_docker_writes_them() {
        let me = || Credential::Password { username: "me".into(), password: "pa:ss".into() };
        let auth = BASE64.encode("me:pa:ss");
        check(&format!(r#"{{"auths": {{"r.example": {{"auth": "{auth}"}}}}}}"#), "r.example", Ok(Some(me())));
        check(
            &format!(r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}}}}}"#),
            "docker.io",
            Ok(Some(me())),
        );
        check(
            r#"{"auths": {"marea.azurecr.io": {"auth": "MDAwOg==", "identitytoken": "t"}}}"#,
            "marea.azurecr.io",
            Ok(Some(Credential::IdentityToken("t".into()))),
        );
        check(r#"{"auths": {"r.example": {"username": "me", "password": "pa:ss"}}}"#, "r.example", Ok(Some(me())));
        check(r#"{"auths": {"other.example": {"auth": "x"}}}"#, "r.example", Ok(None));
        check(r#"{"auths": {"r.example": {}}, "credsStore": "pass"}"#, "r.example", Err("docker-credential-pass"));
        check(r#"{"auths": {"r.example": {"auth": "!"}}}"#, "r.example", Err("not base64"));
        check("{", "r.example", Err("config.json does not hold"));
        assert!(!format!("{:?}", me()).contains("pa:ss"));
    }

    #[test]
    fn challenges_are_read() {
        let bearer =
            r#"Bearer realm="https://auth.example/token?a=b",service="r.example",scope="repository:a:pull,push""#;
        let expected =
            Challenge::Bearer { realm: "https://auth.example/token?a=b".into(), service: Some("r.example".into()) };
        assert_eq!(Challenge::parse(bearer), Some(expected));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        for odd in ["", "Bearer", "Bearer realm", "Digest realm=x", "Bearer =\"", "Bearer service=\"a\""] {
            assert_eq!(Challenge::parse(odd), None, "{odd}");
        }
    }
}
