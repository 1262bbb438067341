//! `${…}` in the image catalogue.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use network::names::Names;

use super::paths::Mounts;

/// What the placeholders of one container stand for.
pub struct Context<'a> {
    pub bin: &'a Path,
    pub repo: &'a Path,
    /// Writable, private to the pod.
    pub tmp: &'a Path,
    pub mounts: &'a Mounts,
    pub env: &'a BTreeMap<String, String>,
    pub names: &'a Names,
    pub namespace: &'a str,
    pub pod_ip: Ipv4Addr,
    /// Directory with `token`, `ca.crt`, `namespace` and `kubeconfig`, when the pod has a service-account token.
    pub service_account: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`${{{0}` is not closed; write `$$` for a plain dollar sign")]
    Unclosed(String),
    #[error(
        "`${{{0}}}` is not known; there are ${{bin}}, ${{repo}}, ${{tmp}}, ${{pod-ip}}, ${{service-account}}, ${{mount:PATH}}, ${{resolve:NAME}} and ${{env:NAME}}"
    )]
    Unknown(String),
    #[error("nothing is mounted at `{0}`")]
    NoMount(String),
    #[error("`{0}` does not resolve to an address yet")]
    Unresolved(String),
    #[error("the container has no variable `{0}`; give a default with ${{env:{0}:-TEXT}}")]
    NoVariable(String),
    #[error("the pod has no service-account token (automountServiceAccountToken)")]
    NoServiceAccount,
}

/// Checks the syntax only, when the catalogue is read.
pub(crate) fn check(text: &str) -> Result<(), TemplateError> {
    expand_with(text, |name| match parse(name) {
        Some(_) => Ok(String::new()),
        None => Err(TemplateError::Unknown(name.to_owned())),
    })
    .map(drop)
}

/// # Errors
/// When a placeholder is unknown or has no value for this container.
pub(crate) fn expand(text: &str, context: &Context<'_>) -> Result<String, TemplateError> {
    expand_with(text, |name| context.value(name))
}

/// Of a path that belongs to no container: `${repo}` and `${bin}` alone.
pub(crate) fn expand_place(text: &str, repo: &Path, bin: &Path) -> Result<PathBuf, TemplateError> {
    let expanded = expand_with(text, |name| match name {
        "repo" => Ok(repo.display().to_string()),
        "bin" => Ok(bin.display().to_string()),
        _ => Err(TemplateError::Unknown(name.to_owned())),
    });
    expanded.map(PathBuf::from)
}

enum Placeholder<'a> {
    Bin,
    Repo,
    Tmp,
    PodIp,
    ServiceAccount,
    Mount(&'a str),
    Resolve(&'a str),
    Env { name: &'a str, default: Option<&'a str> },
}

fn parse(name: &str) -> Option<Placeholder<'_>> {
    Some(match name.split_once(':') {
        None => match name {
            "bin" => Placeholder::Bin,
            "repo" => Placeholder::Repo,
            "tmp" => Placeholder::Tmp,
            "pod-ip" => Placeholder::PodIp,
            "service-account" => Placeholder::ServiceAccount,
            _ => return None,
        },
        Some(("mount", path)) => Placeholder::Mount(path),
        Some(("resolve", name)) => Placeholder::Resolve(name),
        Some(("env", rest)) => match rest.split_once(":-") {
            Some((name, default)) => Placeholder::Env { name, default: Some(default) },
            None => Placeholder::Env { name: rest, default: None },
        },
        Some(_) => return None,
    })
}

impl Context<'_> {
    fn value(&self, name: &str) -> Result<String, TemplateError> {
        let path = |path: &Path| Ok(path.display().to_string());
        match parse(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))? {
            Placeholder::Bin => path(self.bin),
            Placeholder::Repo => path(self.repo),
            Placeholder::Tmp => path(self.tmp),
            Placeholder::PodIp => Ok(self.pod_ip.to_string()),
            Placeholder::ServiceAccount => {
                path(self.service_account.as_deref().ok_or(TemplateError::NoServiceAccount)?)
            }
            Placeholder::Mount(mount) => {
                path(&self.mounts.host_path(mount).ok_or_else(|| TemplateError::NoMount(mount.to_owned()))?)
            }
            Placeholder::Resolve(subject) => {
                let host = self.env.get(subject).map_or(subject, String::as_str);
                let address = self.names.resolve(host, self.namespace);
                address.map(|address| address.to_string()).ok_or_else(|| TemplateError::Unresolved(host.to_owned()))
            }
            Placeholder::Env { name, default } => {
                let found = self.env.get(name).map(String::as_str).or(default);
                found.map(str::to_owned).ok_or_else(|| TemplateError::NoVariable(name.to_owned()))
            }
        }
    }
}

fn expand_with(
    text: &str,
    mut value: impl FnMut(&str) -> Result<String, TemplateError>,
) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('{') {
            let (name, tail) = tail.split_once('}').ok_or_else(|| TemplateError::Unclosed(tail.to_owned()))?;
            expanded.push_str(&value(name)?);
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_every_placeholder() {
        let names = Names::default();
        names.insert("db.example", Ipv4Addr::new(127, 19, 0, 4));
        let env = BTreeMap::from([("PGHOST".to_owned(), "db.example".to_owned())]);
        let mounts = Mounts::new(vec![("/etc/app".to_owned(), PathBuf::from("/data/volumes/app"))]);
        let context = Context {
            bin: Path::new("/opt/bin"),
            repo: Path::new("/src"),
            tmp: Path::new("/data/tmp"),
            mounts: &mounts,
            env: &env,
            names: &names,
            namespace: "platform",
            pod_ip: Ipv4Addr::new(127, 17, 0, 9),
            service_account: None,
        };
        let check = |text: &str, expected: Result<&str, TemplateError>| {
            assert_eq!(expand(text, &context), expected.map(str::to_owned), "{text}");
        };
        check("${bin}/web --at ${pod-ip}:80", Ok("/opt/bin/web --at 127.17.0.9:80"));
        check("${repo}:${tmp}", Ok("/src:/data/tmp"));
        check("${mount:/etc/app/ca.crt}", Ok("/data/volumes/app/ca.crt"));
        check("${resolve:PGHOST} ${resolve:db.example}", Ok("127.19.0.4 127.19.0.4"));
        check("${env:PGHOST} ${env:NO:-none} $$ $x", Ok("db.example none $ $x"));
        check("${mount:/var}", Err(TemplateError::NoMount("/var".into())));
        check("${resolve:nowhere}", Err(TemplateError::Unresolved("nowhere".into())));
        check("${env:NO}", Err(TemplateError::NoVariable("NO".into())));
        check("${service-account}", Err(TemplateError::NoServiceAccount));
        check("${oops}", Err(TemplateError::Unknown("oops".into())));
        check("${bin", Err(TemplateError::Unclosed("bin".into())));
    }
}
