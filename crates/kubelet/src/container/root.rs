//! The root file system of a container whose image is mapped to programs of this host.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Of the host's configuration only what programs need to run: no keys, no passwords, no users.
const CONFIGURATION: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];
/// Where old paths lead into `/usr` on a merged system.
const TOP: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const DIRECTORIES: &[&str] =
    &["dev", "etc", "proc", "tmp", "usr", "var/run", "var/tmp", "var/log", "home", "root", "opt"];

/// What has to exist before anything is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub directories: Vec<String>,
    pub links: BTreeMap<String, PathBuf>,
}

impl Root {
    pub(super) fn make(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        for directory in &self.directories {
            fs::create_dir_all(path.join(directory))?;
        }
        for (name, target) in &self.links {
            match symlink(target, path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The host's programs, read-only, with the mounts that bring them in.
pub(crate) fn host_root() -> (Root, Vec<Value>) {
    let mut root =
        Root { directories: DIRECTORIES.iter().map(|name| (*name).to_owned()).collect(), links: BTreeMap::new() };
    root.links.insert("run".to_owned(), PathBuf::from("var/run"));
    let mut mounts = vec![read_only(Path::new("/usr"), Path::new("/usr"))];
    for name in TOP {
        let path = Path::new("/").join(name);
        match fs::read_link(&path) {
            Ok(target) => {
                root.links.insert((*name).to_owned(), target);
            }
            Err(_) if path.is_dir() => mounts.push(read_only(&path, &path)),
            Err(_) => {}
        }
    }
    let present = CONFIGURATION.iter().map(Path::new).filter(|path| path.exists());
    mounts.extend(present.map(|path| read_only(path, path)));
    (root, mounts)
}

/// `source` of the host at `destination` of the container.
pub(super) fn read_only(source: &Path, destination: &Path) -> Value {
    bind(source, destination, "ro")
}

pub(super) fn writable(source: &Path, destination: &Path) -> Value {
    bind(source, destination, "rw")
}

fn bind(source: &Path, destination: &Path, access: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", access, "nosuid", "nodev"]})
}
