//! Patterns over image names.

/// True when `pattern` covers `image`. Without a tag or digest the pattern covers every one; `*` covers any text within
/// the name. Short names are compared in their full form: `nginx` is `docker.io/library/nginx`.
pub(crate) fn matches(pattern: &str, image: &str) -> bool {
    let (pattern_name, pattern_version) = split(pattern);
    let (image_name, image_version) = split(image);
    let version_matches = pattern_version.is_none_or(|version| image_version.is_some_and(|own| wildcard(version, own)));
    version_matches && wildcard(&full(pattern_name), &full(image_name))
}

/// Name and what follows it: `:tag`, `@digest`, or `:tag@digest` of which the digest decides.
fn split(image: &str) -> (&str, Option<&str>) {
    if let Some((name, digest)) = image.split_once('@') {
        return (split(name).0, Some(digest));
    }
    // A colon before the last slash belongs to the registry's port.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

fn full(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first.contains(['.', ':', '*']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| wildcard(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_names_with_and_without_versions() {
        let check = |pattern: &str, image: &str, expected: bool| {
            assert_eq!(matches(pattern, image), expected, "{pattern} {image}")
        };
        check("marea.azurecr.io/backend", "marea.azurecr.io/backend:0.1.0", true);
        check("marea.azurecr.io/backend", "marea.azurecr.io/backend@sha256:ab", true);
        check("marea.azurecr.io/backend:1.*", "marea.azurecr.io/backend:1.4", true);
        check("marea.azurecr.io/backend:1.*", "marea.azurecr.io/backend", false);
        check("marea.azurecr.io/backend", "marea.azurecr.io/backend-two", false);
        check("localhost:5000/web", "localhost:5000/web:9", true);
        check("nginx", "docker.io/library/nginx:1.27", true);
        check("mcr.microsoft.com/oss/*", "mcr.microsoft.com/oss/v2/kubernetes/coredns:v1.13", true);
        check("*/backend", "example.org/team/backend", true);
    }
}
