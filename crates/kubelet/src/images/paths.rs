//! Where a container's mounts are on the host.

use std::path::PathBuf;

/// The mounts of one container: path in the container → path on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Longest path first, so that a mount inside another wins.
    mounts: Vec<(String, PathBuf)>,
}

impl Mounts {
    pub fn new(mut mounts: Vec<(String, PathBuf)>) -> Mounts {
        for (path, _) in &mut mounts {
            *path = path.trim_end_matches('/').to_owned();
        }
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Mounts { mounts }
    }

    /// The same mounts for somebody who sees them where the container does.
    pub(crate) fn in_place(&self) -> Mounts {
        Mounts { mounts: self.mounts.iter().map(|(path, _)| (path.clone(), PathBuf::from(path))).collect() }
    }

    /// The host's path of a path in the container, when it is under a mount.
    pub fn host_path(&self, path: &str) -> Option<PathBuf> {
        self.mounts.iter().find_map(|(mount, host)| {
            let rest = path.strip_prefix(mount.as_str())?;
            match rest.trim_start_matches('/') {
                "" => Some(host.clone()),
                inside if rest.starts_with('/') => Some(host.join(inside)),
                _ => None,
            }
        })
    }

    /// Replaces every path under a mount in an argument or a variable's value (`--config=/etc/app/x`, `/etc/app:/lib`):
    /// without a mount namespace the program must be told where things are on the host.
    pub fn translate(&self, text: &str) -> String {
        let mut translated = String::with_capacity(text.len());
        let mut rest = text;
        let mut at_start = true;
        while let Some(next) = rest.chars().next() {
            let found = (at_start && next == '/').then(|| self.mount_at(rest)).flatten();
            if let Some((length, host)) = found {
                translated.push_str(&host.display().to_string());
                rest = &rest[length..];
                at_start = false;
                continue;
            }
            translated.push(next);
            rest = &rest[next.len_utf8()..];
            // A path begins after one of these, not in the middle of another path or of a URL's path.
            at_start = matches!(next, '=' | ',' | ':' | ' ' | '"' | '\'' | '@') && !rest.starts_with("//");
        }
        translated
    }

    fn mount_at(&self, text: &str) -> Option<(usize, &PathBuf)> {
        self.mounts.iter().find_map(|(mount, host)| {
            let rest = text.strip_prefix(mount.as_str()).filter(|_| !mount.is_empty())?;
            let whole =
                rest.chars().next().is_none_or(|next| !(next.is_alphanumeric() || matches!(next, '-' | '_' | '.')));
            whole.then_some((mount.len(), host))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_whole_paths_only() {
        let mounts = Mounts::new(vec![
            ("/etc/app/".into(), "/h/app".into()),
            ("/etc/app/tls".into(), "/h/tls".into()),
            ("/tmp".into(), "/h/tmp".into()),
        ]);
        let check = |text: &str, expected: &str| assert_eq!(mounts.translate(text), expected);
        check("--config=/etc/app/x.yml", "--config=/h/app/x.yml");
        check("/etc/app/tls/key:/tmp", "/h/tls/key:/h/tmp");
        check("/etc/application /etc/app", "/etc/application /h/app");
        check("http://host/tmp", "http://host/tmp");
        check("/var/tmp/x", "/var/tmp/x");
        assert_eq!(mounts.host_path("/etc/app/tls/ca"), Some("/h/tls/ca".into()));
        assert_eq!(mounts.host_path("/etc/application"), None);
    }
}
