//! Starts, finds again, signals and waits for a process behind a shim.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::claim;
use super::record::{Exit, Identity, RunSpec, Started, read_record, write_record};
use crate::procfs;

/// A shim that takes longer than this to start its program is stuck on a dying disk.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Exit code of a process about whose end nothing is known; upstream uses the same (`ContainerStatusUnknown`).
const UNKNOWN_END: i32 = 137;

/// How to call the shim: the program and the arguments before `run` and `terminal`.
#[derive(Clone, Debug)]
pub struct Shim {
    command: Arc<[OsString]>,
}

impl Shim {
    /// # Panics
    /// When the command is empty.
    pub fn new(command: impl IntoIterator<Item = OsString>) -> Shim {
        let command: Arc<[OsString]> = command.into_iter().collect();
        assert!(!command.is_empty(), "the shim's command is empty");
        Shim { command }
    }

    pub(crate) fn command(&self, verb: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(verb);
        command
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{0}")]
    Start(String),
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A process that was started by a shim, running or ended.
#[derive(Clone, Debug)]
pub struct Process {
    directory: PathBuf,
    started: Started,
}

impl Process {
    /// Starts `spec`, keeping its records in `directory`, which is created and must not hold another process's.
    ///
    /// # Errors
    /// When the program cannot be started; the message says why.
    pub async fn start(shim: &Shim, directory: &Path, spec: &RunSpec) -> Result<Process, ProcessError> {
        let io_error = |action| move |source| ProcessError::Io { action, path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(io_error("create"))?;
        if let Some(contained) = &spec.container {
            contained.write().map_err(io_error("write a bundle to"))?;
        }
        write_record(&directory.join("spec.json"), spec).map_err(io_error("write to"))?;
        let ticket = claim::issue(directory).map_err(io_error("write to"))?;
        let mut child = shim
            .command("run")
            .arg(directory)
            .arg(ticket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/")
            .spawn()
            .map_err(io_error("start a shim for"))?;
        // Both streams end when the shim has started its program, or has failed.
        let mut complaint = String::new();
        if let Some(stream) = &mut child.stderr {
            let reading = stream.read_to_string(&mut complaint);
            tokio::time::timeout(START_TIMEOUT, reading)
                .await
                .map_err(|_| {
                    ProcessError::Start(format!(
                        "the shim did not start `{}` within {START_TIMEOUT:?}",
                        spec.argv.join(" ")
                    ))
                })?
                .map_err(io_error("read from the shim of"))?;
        }
        match Process::find(directory) {
            Some(process) => {
                // The shim is this process's child and must be waited for, whoever else watches it.
                tokio::spawn(async move { child.wait().await });
                Ok(process)
            }
            None => {
                let _ = child.wait().await;
                let reason = read_record::<Exit>(&directory.join("exit.json")).and_then(|exit| exit.error);
                Err(ProcessError::Start(reason.unwrap_or_else(|| format!("the shim failed: {}", complaint.trim()))))
            }
        }
    }

    /// As [`Process::find`], for a daemon that takes over: a shim that was just starting has either got there, or will
    /// never start its program.
    pub fn take_over(directory: &Path) -> Option<Process> {
        claim::settle(directory);
        let process = Process::find(directory)?;
        process.end_orphans();
        Some(process)
    }

    /// The process whose records are in `directory`, e.g. after a restart of the daemon.
    pub fn find(directory: &Path) -> Option<Process> {
        let started = read_record(&directory.join("started.json"))?;
        Some(Process { directory: directory.to_owned(), started })
    }

    pub fn started(&self) -> &Started {
        &self.started
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// # Errors
    /// When the record cannot be read.
    pub fn spec(&self) -> Option<RunSpec> {
        read_record(&self.directory.join("spec.json"))
    }

    pub fn is_running(&self) -> bool {
        self.started.shim.is_alive() || self.started.main.is_alive()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        match read_record(&self.directory.join("exit.json")) {
            Some(exit) => Some(exit),
            None if self.is_running() => None,
            None => Some(Exit { code: UNKNOWN_END, signal: None, error: None, out_of_memory: false, at_ms: 0 }),
        }
    }

    /// Waits for the end. A shim that was killed leaves its program behind; it is killed here, so that nothing runs twice.
    pub async fn wait(&self) -> Exit {
        wait_for(&self.started.shim).await;
        if let Some(exit) = read_record(&self.directory.join("exit.json")) {
            return exit;
        }
        self.signal(Signal::KILL);
        wait_for(&self.started.main).await;
        self.end_orphans();
        self.exit().unwrap_or(Exit { code: UNKNOWN_END, signal: None, error: None, out_of_memory: false, at_ms: 0 })
    }

    /// Signals the program's process group. A process that has ended is left alone, even if its id was reused.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.started.main.pid).filter(|_| self.started.main.is_alive()) {
            // It may end between the look and the signal; then there is nothing to signal.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Kills what is left of the program's process group when both its first process and its shim are gone, such as the
    /// workers of a web server whose master was killed: they would go on serving at the pod's address.
    ///
    /// A process id is not given away while a group bears it, so the group is ours unless a later process has the id.
    fn end_orphans(&self) {
        let Started { shim, main, .. } = &self.started;
        if shim.is_alive() || main.is_alive() || procfs::boot_id() != main.boot {
            return;
        }
        let processes = procfs::all();
        if processes.get(&main.pid).is_some_and(|leader| leader.start != main.start) {
            return;
        }
        let orphans = processes.values().filter(|one| one.group == main.pid && one.start >= main.start);
        procfs::signal_all(orphans.map(|orphan| orphan.pid), Signal::KILL);
    }

    /// Signals only the program's first process.
    pub fn signal_main(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.started.main.pid).filter(|_| self.started.main.is_alive()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Signals every process of it that runs, given a view of all processes.
    pub(crate) fn signal_members(&self, processes: &std::collections::BTreeMap<i32, procfs::Stat>, signal: Signal) {
        procfs::signal_all(self.members(processes).iter().map(|member| member.pid), signal);
    }

    /// Whether its first process stands still (SIGSTOP).
    pub(crate) fn is_paused(&self) -> bool {
        self.started.main.is_alive() && procfs::stands_still(self.started.main.pid)
    }

    /// Every process of it that runs, given a view of all processes.
    pub(crate) fn members(&self, processes: &std::collections::BTreeMap<i32, procfs::Stat>) -> Vec<procfs::Stat> {
        let shim = &self.started.shim;
        match processes.get(&shim.pid) {
            Some(stat) if stat.start == shim.start => procfs::descendants(processes, shim.pid),
            _ => Vec::new(),
        }
    }

    /// CPU time so far in ticks, with that of processes that have ended.
    pub(crate) fn cpu_ticks(&self, processes: &std::collections::BTreeMap<i32, procfs::Stat>) -> u64 {
        let reaped = processes.get(&self.started.shim.pid).map_or(0, |shim| shim.reaped_ticks);
        reaped + self.members(processes).iter().map(|member| member.own_ticks + member.reaped_ticks).sum::<u64>()
    }
}

/// Returns when the process is gone. A zombie counts as gone: its parent may be another program.
async fn wait_for(identity: &Identity) {
    let Some(pid) = Pid::from_raw(identity.pid) else { return };
    let Ok(ended) = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) else { return };
    // Checked after the descriptor was opened, so that it is known to be of this process.
    if !identity.is_alive() {
        return;
    }
    // A process descriptor becomes readable at the end, as a pipe does; the runtime has no safe type of its own for it.
    match pipe::Receiver::from_owned_fd_unchecked(ended) {
        Ok(ended) => {
            let _ = ended.readable().await;
        }
        Err(error) => tracing::error!(%error, pid = identity.pid, "cannot watch a process; it is taken for ended"),
    }
}
