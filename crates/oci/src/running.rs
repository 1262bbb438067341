//! What an image says about how it is run (OCI image-spec 1.1, config.md).

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::tree::Tree;

/// `config` of an image's configuration. Exposed ports and volumes are left out: Kubernetes does nothing with the former,
/// and without a volume of their own the latter are folders like any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// `NAME=value`
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub working_dir: String,
    #[serde(deserialize_with = "nullable")]
    pub stop_signal: String,
}

/// Tools write `null` where they mean nothing.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A larger list of users is none.
const LIST_BYTES: u64 = 4 << 20;

/// Numbers of a user's name by the image's own `/etc/passwd` and `/etc/group`: uid, and gid where one is known.
///
/// `text` is what [`RunConfig::user`] holds.
pub(crate) fn look_up(root: &Path, text: &str) -> Result<(u32, Option<u32>), String> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let list = |path: &str| -> Vec<Vec<String>> {
        let text = Tree::open(root).and_then(|tree| tree.read(path, LIST_BYTES)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let number = |fields: &[String], at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok());
    let users = list("etc/passwd");
    let (uid, own_gid) = match user.parse::<u32>() {
        Ok(uid) => {
            let entry = users.iter().find(|fields| number(fields, 2) == Some(uid));
            (uid, entry.and_then(|fields| number(fields, 3)))
        }
        Err(_) if user.is_empty() => (0, None),
        Err(_) => {
            let entry = users.iter().find(|fields| fields.first().is_some_and(|name| name == user));
            let entry =
                entry.ok_or_else(|| format!("unable to find user {user}: no matching entries in passwd file"))?;
            let uid =
                number(entry, 2).ok_or_else(|| format!("user {user} has no number in the image's passwd file"))?;
            (uid, number(entry, 3))
        }
    };
    let gid = match group.map(|group| (group, group.parse::<u32>())) {
        None => own_gid,
        Some((_, Ok(gid))) => Some(gid),
        Some((name, Err(_))) => {
            let groups = list("etc/group");
            let entry = groups.iter().find(|fields| fields.first().is_some_and(|own| own == name));
            let found = entry.and_then(|fields| number(fields, 2));
            Some(found.ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?)
        }
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: &str, expected: Result<(u32, Option<u32>), &str>) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:101:102::/:\nodd:x:many:1\n")
            .unwrap();
        std::fs::write(root.path().join("etc/group"), "web:x:33:\n").unwrap();
        match (look_up(root.path(), user), expected) {
            (Err(found), Err(part)) => assert!(found.contains(part), "`{found}` does not say `{part}`"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{user}"),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        check("", Ok((0, None)));
        check("app", Ok((101, Some(102))));
        check("101", Ok((101, Some(102))));
        check("app:web", Ok((101, Some(33))));
        check("5:6", Ok((5, Some(6))));
        check("7", Ok((7, None)));
        check("nobody", Err("unable to find user nobody"));
        check("5:staff", Err("unable to find group staff"));
        check("odd", Err("has no number"));
    }

    /// A list of users that is a link leads nowhere but into the image.
    #[test]
    fn a_link_cannot_read_the_hosts_users() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("etc/passwd")).unwrap();
        assert!(Tree::open(root.path()).unwrap().read("etc/passwd", LIST_BYTES).is_err());
        std::fs::write(root.path().join("etc/hostname"), "app:x:9:9\n").unwrap();
        assert_eq!(look_up(root.path(), "app"), Ok((9, Some(9))));
    }

    #[test]
    fn a_configuration_may_say_null() {
        let config: RunConfig =
            serde_json::from_str(r#"{"Entrypoint": null, "Cmd": ["a"], "ExposedPorts": {"80/tcp": {}}}"#).unwrap();
        assert_eq!(config, RunConfig { cmd: vec!["a".into()], ..RunConfig::default() });
    }
}
