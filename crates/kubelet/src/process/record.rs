//! The files through which daemon and shim know of each other after either has died.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroup::Limits;
use crate::container::Contained;
use crate::procfs;

/// What to run. Written with mode 0600, since environments hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Never empty; the first element is a path or is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub workdir: PathBuf,
    /// Lines as the container runtime interface logs them: `<RFC 3339> stdout|stderr F|P <text>`.
    pub log: PathBuf,
    /// Run as a container instead of directly; then the other fields are what its process is told.
    #[serde(default)]
    pub container: Option<Contained>,
    /// What the kernel keeps it to.
    #[serde(default)]
    pub limits: Option<Limits>,
}

impl RunSpec {
    /// Another command in the same surroundings, ready to be started.
    pub(crate) fn beside(&self, command: &[String]) -> io::Result<std::process::Command> {
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        if let Some(contained) = &self.container {
            return contained.exec(command, None);
        }
        let mut process = std::process::Command::new(program);
        process.args(arguments).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        process.current_dir(&self.workdir);
        Ok(process)
    }
}

/// A process, across restarts of the daemon and of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Ticks since boot.
    pub start: u64,
    pub boot: String,
}

impl Identity {
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> io::Result<Identity> {
        Ok(Identity { pid, start: procfs::stat(pid)?.start, boot: procfs::boot_id() })
    }

    pub fn is_alive(&self) -> bool {
        let same = procfs::stat(self.pid).is_ok_and(|stat| stat.start == self.start && !stat.zombie);
        same && procfs::boot_id() == self.boot
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub shim: Identity,
    pub main: Identity,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + signal number when a signal ended it; 128 when it could not be started.
    pub code: i32,
    pub signal: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
    /// The kernel ended it, or a part of it, since its memory limit was reached.
    #[serde(default)]
    pub out_of_memory: bool,
    /// Milliseconds since the epoch; zero when it is not known.
    pub at_ms: i64,
}

/// Replaces a record at once: a reader sees the old one or the new one.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&temporary, path)
}

/// The record, or none when there is none or it is damaged (a torn disk after a power cut).
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
