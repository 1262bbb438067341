//! How the daemon gets into the namespaces: those that are there, or new ones.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, Signal};

use super::holder::{READY, read_mark};
use super::{Places, Record};

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("{0}")]
    Forbidden(String),
    #[error("cannot use the sandbox's folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the process that holds the namespaces")]
    Holder(#[source] io::Error),
    #[error("cannot join the namespaces of process {pid}")]
    Join {
        pid: i32,
        #[source]
        source: io::Error,
    },
}

/// This process is inside; to be kept for as long as it runs.
#[derive(Debug)]
pub struct Entered {
    pub(super) places: Places,
    pub(super) holder: Vec<OsString>,
    pub(super) child: Option<Child>,
    pub(super) holder_pid: i32,
}

/// Joins the sandbox of this folder, made anew where nothing of it lives. `holder` is the program and the arguments that
/// come to [`super::hold`], without the folder.
///
/// The process must have one thread: the kernel lets no other join a user namespace.
///
/// # Errors
/// When the kernel or a program does not allow it; the message says which.
pub fn enter(directory: &Path, holder: &[OsString]) -> Result<Entered, SandboxError> {
    let folder = |source| SandboxError::Folder { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(folder)?;
    let places = Places::new(&fs::canonicalize(directory).map_err(folder)?);
    if let Some((record, pid)) = find(&places) {
        join(pid)?;
        let mut entered = Entered { places, holder: holder.to_vec(), child: None, holder_pid: record.pid };
        if pid != record.pid {
            entered.hold_again()?;
        }
        return Ok(entered);
    }
    let mut entered = Entered { places, holder: holder.to_vec(), child: None, holder_pid: 0 };
    entered.hold_again()?;
    join(entered.holder_pid)?;
    Ok(entered)
}

impl Entered {
    /// Starts a holder: outside the first one, inside another one.
    pub(super) fn hold_again(&mut self) -> Result<(), SandboxError> {
        let (program, arguments) = self
            .holder
            .split_first()
            .ok_or_else(|| SandboxError::Holder(io::Error::other("no program is given for it")))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.places.root);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(SandboxError::Holder)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(SandboxError::Holder)?;
        }
        if line.trim() != READY {
            let mut complaint = String::new();
            if let Some(errors) = &mut child.stderr {
                errors.read_to_string(&mut complaint).map_err(SandboxError::Holder)?;
            }
            let _ = child.wait();
            return Err(SandboxError::Forbidden(complaint.trim().trim_start_matches("marea-shim: ").to_owned()));
        }
        self.holder_pid = i32::try_from(child.id()).unwrap_or_default();
        self.child = Some(child);
        Ok(())
    }

    pub fn directory(&self) -> &Path {
        &self.places.root
    }
}

/// Ends the sandbox's holder: with the last process inside, the namespaces go too. False when there was none.
pub fn dismiss(directory: &Path) -> bool {
    // Processes are recognised by the path at which they see the sandbox's folder.
    let Ok(directory) = fs::canonicalize(directory) else { return false };
    let places = Places::new(&directory);
    let Some(record) = read_record(&places) else { return false };
    let Some(pid) = Pid::from_raw(record.pid).filter(|_| is_inside(&places, &record, record.pid)) else { return false };
    rustix::process::kill_process(pid, Signal::KILL).is_ok()
}

fn read_record(places: &Places) -> Option<Record> {
    serde_json::from_slice(&fs::read(places.record()).ok()?).ok()
}

/// A process of this sandbox, the holder if it lives.
fn find(places: &Places) -> Option<(Record, i32)> {
    let record = read_record(places)?;
    if is_inside(places, &record, record.pid) {
        let pid = record.pid;
        return Some((record, pid));
    }
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.into_iter().find(|pid| is_inside(places, &record, *pid))?;
    Some((record, found))
}

fn is_inside(places: &Places, record: &Record, pid: i32) -> bool {
    let seen = PathBuf::from(format!("/proc/{pid}/root{}", places.root.display()));
    let user = fs::read_link(format!("/proc/{pid}/ns/user"));
    user.is_ok_and(|link| link.as_os_str() == record.user_namespace.as_str())
        && read_mark(&Places::new(&seen)).as_deref() == Some(&record.id)
}

fn join(pid: i32) -> Result<(), SandboxError> {
    let attempt = || -> io::Result<()> {
        let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}"));
        let (user, mounts) = (open("user")?, open("mnt")?);
        let directory = std::env::current_dir();
        // Joining the namespace that one is in is an error.
        if fs::read_link("/proc/self/ns/user")? != fs::read_link(format!("/proc/{pid}/ns/user"))? {
            setns(user, CloneFlags::CLONE_NEWUSER)?;
        }
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        // A new mount namespace starts at its root.
        directory.and_then(std::env::set_current_dir)
    };
    attempt().map_err(|source| SandboxError::Join { pid, source })
}
