//! `registry/repository:tag@digest`, as Docker and Kubernetes write it (distribution's reference grammar).

use std::fmt;

use crate::digest::Digest;
use crate::error::OciError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `marea.azurecr.io`, `127.0.0.1:5000`, `docker.io`
    pub registry: String,
    /// `backend`, `library/nginx`
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

const DOCKER_HUB: &str = "docker.io";

impl Reference {
    /// A registry must be named, or `docker.io` is meant as everywhere; a name of one part there is in `library/`.
    ///
    /// # Errors
    /// When a part has a character or a length that registries refuse.
    pub fn parse(text: &str) -> Result<Reference, OciError> {
        let refuse = |reason| OciError::Reference { text: text.to_owned(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(Digest::parse(digest).ok_or(refuse("its digest is not sha256: and 64 hexadecimal digits"))?),
            ),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash belongs to a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("its tag has a character other than letters, digits, `.`, `_`, `-`, or is too long"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DOCKER_HUB, name.to_owned()),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        if !is_registry(registry) {
            return Err(refuse("its registry is not a host name with an optional port"));
        }
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(refuse(
                "its repository is not of lower-case letters and digits with `.`, `_`, `-`, `/` between",
            ));
        }
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }

    /// What a manifest is asked for by: the digest where there is one.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// One text for everything that means the same: `nginx` and `docker.io/library/nginx:latest`.
    pub(crate) fn canonical(&self) -> String {
        let separator = if self.digest.is_some() { '@' } else { ':' };
        format!("{}/{}{separator}{}", self.registry, self.repository, self.version())
    }

    /// Where the protocol is spoken. Docker Hub has a host of its own for it; a registry on this machine has no TLS.
    pub(crate) fn endpoint(&self) -> String {
        let host = if self.registry == DOCKER_HUB { "registry-1.docker.io" } else { &self.registry };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let scheme = if name == "localhost" || name.starts_with("127.") { "http" } else { "https" };
        format!("{scheme}://{host}")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
        && tag.bytes().next().is_some_and(is_word)
}

fn is_registry(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && port.parse::<u16>().is_ok()
}

fn is_component(component: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    component.bytes().all(|byte| is_inner(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && component.bytes().next().is_some_and(is_inner)
        && component.bytes().last().is_some_and(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, &str)>) {
        let found = Reference::parse(text).ok();
        let parts = found.as_ref().map(|found| (found.endpoint(), found.repository.clone(), found.version()));
        let parts = parts.as_ref().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()));
        assert_eq!(parts, expected, "{text}");
    }

    #[test]
    fn references_are_read_as_docker_reads_them() {
        check("marea.azurecr.io/backend:0.1.0", Some(("https://marea.azurecr.io", "backend", "0.1.0")));
        check("127.0.0.1:5000/a/b", Some(("http://127.0.0.1:5000", "a/b", "latest")));
        check("localhost:5000/a:1", Some(("http://localhost:5000", "a", "1")));
        check("nginx:1.29", Some(("https://registry-1.docker.io", "library/nginx", "1.29")));
        check("nginxinc/nginx", Some(("https://registry-1.docker.io", "nginxinc/nginx", "latest")));
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = format!("quay.io/a/b:1@{digest}");
        check(&pinned, Some(("https://quay.io", "a/b", &digest)));
        assert_eq!(Reference::parse(&pinned).unwrap().to_string(), pinned);
        for wrong in
            ["", "UPPER", "a b", "a/../b", "a.b/", "a.b/c:", "a.b/c:t@sha256:1", "a.b:x/c", "a.b/-c", ".a/b/c.d:/e"]
        {
            check(wrong, None);
        }
    }
}
