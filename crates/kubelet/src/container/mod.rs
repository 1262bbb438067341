//! Pods as OCI containers, run by crun inside the sandbox.
//!
//! A container has mount, process, IPC, host name and user namespaces of its own and its pod's network. The user that it
//! asks for is mapped, alone, to the cloud's own user: nothing needs root, and a container has no right outside.

mod configuration;
mod overlay;
mod root;
mod seccomp;
mod user;

use std::fs;
use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use configuration::{Parts, configuration};
use overlay::Mounted;
pub use root::Root;
pub(crate) use root::host_root;
pub(crate) use user::{Identity, ImageUser, user};

/// The container runtime that is used; found in the PATH of the daemon.
pub const CRUN: &str = "crun";

/// How a program is run by crun instead of directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contained {
    /// crun's name for the container.
    pub id: String,
    /// The folder of configuration and root file system.
    pub bundle: PathBuf,
    /// crun's own records of this kubelet's containers.
    pub state: PathBuf,
    /// The OCI runtime configuration (runtime-spec 1.0).
    pub configuration: Value,
    /// Files that the configuration mounts, by path in the bundle.
    pub files: Vec<(String, String)>,
    /// Directories and links of the root file system.
    pub root: Root,
    /// Whose files the root file system has instead.
    #[serde(default)]
    pub image: Option<Image>,
}

/// The image that a container was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As the container's status names it.
    pub id: String,
    pub root: PathBuf,
    pub stop_signal: String,
}

impl Contained {
    /// Writes the bundle that crun reads.
    pub(crate) fn write(&self) -> io::Result<()> {
        let bundle = &self.bundle;
        fs::create_dir_all(bundle)?;
        fs::create_dir_all(&self.state)?;
        match &self.image {
            Some(_) => overlay::prepare(bundle)?,
            None => self.root.make(&bundle.join("rootfs"))?,
        }
        for (name, text) in &self.files {
            fs::write(bundle.join(name), text)?;
        }
        fs::write(bundle.join("config.json"), serde_json::to_vec(&self.configuration)?)
    }

    /// crun with what every call needs; the verb comes next.
    fn crun(&self) -> Command {
        let mut command = Command::new(CRUN);
        // Cgroups are the host's matter: an ordinary user has none to give.
        command.arg("--root").arg(&self.state).arg("--cgroup-manager=disabled");
        command
    }

    /// Starts the container; its first process and its output. The caller must be the reaper of its descendants.
    pub(crate) fn run(&self) -> io::Result<(Pid, OwnedFd, OwnedFd)> {
        let _mounted = self.image.as_ref().map(|image| Mounted::new(&image.root, &self.bundle)).transpose()?;
        let pid_file = self.bundle.join("pid");
        let mut command = self.crun();
        command.args(["run", "--detach", "--bundle"]).arg(&self.bundle).arg("--pid-file").arg(&pid_file).arg(&self.id);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("cannot run {CRUN}: {error}")))?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("crun has no output"));
        };
        if !child.wait()?.success() {
            let mut complaint = String::new();
            stderr.read_to_string(&mut complaint)?;
            self.forget();
            return Err(io::Error::other(complaint.trim().to_owned()));
        }
        let text = fs::read_to_string(&pid_file)?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other(format!("crun left no process id but {text:?}")))?;
        Ok((pid, stdout.into(), stderr.into()))
    }

    /// Removes crun's records of a container that has ended, and whatever of it may still run.
    pub(crate) fn forget(&self) {
        let mut command = self.crun();
        command.args(["delete", "--force"]).arg(&self.id);
        // What cannot be removed is in the way of nothing: the next run has another name.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Another command in the container. What crun reads is kept in the bundle, under a name that follows from the content:
    /// a probe writes it once. With a `console`, a socket's path, the command has a terminal, which is sent there.
    pub(crate) fn exec(&self, command: &[String], console: Option<&Path>) -> io::Result<Command> {
        let mut process = self.configuration["process"].clone();
        process["args"] = serde_json::json!(command);
        process["terminal"] = serde_json::json!(console.is_some());
        if console.is_some()
            && let Some(env) = process["env"].as_array_mut()
            && !env.iter().any(|variable| variable.as_str().is_some_and(|variable| variable.starts_with("TERM=")))
        {
            env.push("TERM=xterm".into());
        }
        let text = process.to_string();
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&text, &mut hasher);
        let path = self.bundle.join(format!("exec-{:016x}.json", std::hash::Hasher::finish(&hasher)));
        if !path.exists() {
            fs::write(&path, text)?;
        }
        let mut crun = self.crun();
        crun.arg("exec");
        if let Some(console) = console {
            crun.arg("--console-socket").arg(console);
        }
        crun.arg("--process").arg(path).arg(&self.id);
        Ok(crun)
    }
}
