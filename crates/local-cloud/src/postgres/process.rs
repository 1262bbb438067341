//! The postmaster as a process: start in its own session, find it again, stop it, notice its end.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, test_kill_process};

use super::programs::Programs;
use super::{Inside, PostgresError, Wanted, files};

const FAST_SHUTDOWN: Duration = Duration::from_secs(10);
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(3);

fn pid_of(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// The postmaster of this data folder, if it runs: its pid file alone could name a process that came later.
pub(super) fn running(data: &Path) -> Option<u32> {
    let first_line = fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().to_owned();
    let pid: u32 = first_line.parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let is_ours = command.split(|byte| *byte == 0).any(|argument| argument == data.as_os_str().as_encoded_bytes());
    (is_ours && is_alive(pid)).then_some(pid)
}

/// Whether this postmaster accepts connections: the last line of its pid file, which `pg_ctl --wait` goes by as well
/// (PostgreSQL 15, src/include/utils/pidfile.h). Asking it by a connection costs a process on either side, and while it
/// recovers from a crash that is what it has least to spare for.
pub(super) fn is_ready(data: &Path, pid: u32) -> bool {
    const STATUS_LINE: usize = 7;
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let is_own = text.lines().next().and_then(|line| line.trim().parse().ok()) == Some(pid);
    is_own && text.lines().nth(STATUS_LINE).is_some_and(|status| status.trim() == "ready")
}

/// A zombie has ended, although its pid still answers to signals.
pub(super) fn is_alive(pid: u32) -> bool {
    let Some(process) = pid_of(pid) else { return false };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    test_kill_process(process).is_ok() && !state.starts_with('Z')
}

/// Whether the process is in that network namespace and not in one that is gone.
pub(super) fn is_inside(pid: u32, inside: &Inside) -> bool {
    let number = |path: std::path::PathBuf| fs::metadata(path).ok().map(|metadata| metadata.ino());
    let own = number(format!("/proc/{pid}/ns/net").into());
    own.is_some() && own == number(inside.router.namespace_path(&inside.id))
}

/// Starts the postmaster in a session of its own, so that it outlives this process and a terminal's Ctrl-C.
pub(super) fn start(programs: &Programs, wanted: &Wanted) -> Result<u32, PostgresError> {
    let data = wanted.folder.join("data");
    let log = files::log(&wanted.folder);
    if running(&data).is_none() {
        remove_locks(&data, &files::socket_folder(&wanted.folder));
    }
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(PostgresError::file("open", &log))?;
    let errors = output.try_clone().map_err(PostgresError::file("open", &log))?;
    let mut command = programs.command("postgres");
    command.arg("-D").arg(&data).stdout(output).stderr(errors).process_group(0);
    let spawned = match &wanted.inside {
        Some(inside) => inside.router.spawn_inside(&inside.id, &mut command),
        None => command.spawn(),
    };
    let mut child = spawned.map_err(|source| PostgresError::Spawn { program: "postgres".to_owned(), source })?;
    let pid = child.id();
    // Somebody has to collect it when it ends, or it stays as a zombie for as long as the cloud runs.
    std::thread::spawn(move || child.wait());
    Ok(pid)
}

/// A killed postmaster leaves its pid file and its socket's lock. PostgreSQL looks whether their process is there, but not
/// across user namespaces, and takes a zombie or a later owner of the number for the old server.
fn remove_locks(data: &Path, sockets: &Path) {
    let _ = fs::remove_file(data.join("postmaster.pid"));
    for entry in fs::read_dir(sockets).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Fast shutdown first (open transactions roll back), then immediate (recovery at the next start), then by force.
pub(super) async fn stop(data: &Path) {
    let Some(pid) = running(data) else { return };
    let Some(process) = pid_of(pid) else { return };
    for (signal, patience) in
        [(Signal::INT, FAST_SHUTDOWN), (Signal::QUIT, IMMEDIATE_SHUTDOWN), (Signal::KILL, IMMEDIATE_SHUTDOWN)]
    {
        if kill_process(process, signal).is_err() || tokio::time::timeout(patience, ended(pid)).await.is_ok() {
            return;
        }
    }
}

/// Resolves when the process ends. The wait has a thread of its own: one of the runtime's would keep it from shutting down.
pub(super) async fn ended(pid: u32) {
    let Some(process) = pid_of(pid) else { return };
    let Ok(pidfd) = pidfd_open(process, PidfdFlags::empty()) else { return };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        while let Err(Errno::INTR) = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
