//! Runs a command beside a container: in its environment and working directory, with the host's programs.

mod console;

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use kube_server::node_agent::{ExecRequest, ExecSession, NodeAgentError};
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::process::{Process, RunSpec, Shim};

const PIPE_BYTES: usize = 64 * 1024;
/// What a shell prints for a program that is not there, and what kubectl shows.
const NOT_FOUND: &str = "executable file not found in $PATH";

pub(crate) async fn start(
    shim: &Shim,
    process: &Process,
    request: &ExecRequest,
) -> Result<ExecSession, NodeAgentError> {
    let spec = process.spec().ok_or_else(|| NodeAgentError::NotFound(request.container.container.clone()))?;
    let program =
        request.command.first().ok_or_else(|| NodeAgentError::BadRequest("you must specify a command".into()))?;
    if !is_there(process, &spec, program) {
        return Err(NodeAgentError::BadRequest(format!("exec: {program:?}: {NOT_FOUND}")));
    }
    let outcome = match (request.tty, &spec.container) {
        (false, _) => with_pipes(&spec, request),
        (true, None) => with_terminal(shim, &spec, request),
        (true, Some(contained)) => console::open(contained, &request.command)
            .await
            .and_then(|(child, terminal)| session(child, terminal, request.stdin)),
    };
    outcome.map_err(|source| NodeAgentError::Io { context: format!("cannot run {program:?}"), source })
}

/// Looks the program up where the container would find it.
fn is_there(process: &Process, spec: &RunSpec, program: &str) -> bool {
    let path = spec.env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    if spec.container.is_none() {
        return crate::images::find_program(program, path).is_some();
    }
    let root = format!("/proc/{}/root", process.started().main.pid);
    let candidates: Vec<String> = match program.contains('/') {
        true => vec![program.to_owned()],
        false => path.split(':').map(|directory| format!("{directory}/{program}")).collect(),
    };
    // A link within the container may lead anywhere there: that it exists is enough.
    candidates.iter().any(|candidate| std::fs::symlink_metadata(format!("{root}/{candidate}")).is_ok())
}

fn with_pipes(spec: &RunSpec, request: &ExecRequest) -> io::Result<ExecSession> {
    let mut child = Command::from(spec.beside(&request.command)?)
        .stdin(if request.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let missing = || io::Error::other("the process has no output");
    let (stdout, stderr) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
    let stdin = child.stdin.take().map(|stdin| Box::new(stdin) as _);
    let exit = watch(child);
    Ok(ExecSession { stdin, stdout: Box::new(stdout), stderr: Some(Box::new(stderr)), resize: None, exit })
}

fn with_terminal(shim: &Shim, spec: &RunSpec, request: &ExecRequest) -> io::Result<ExecSession> {
    let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&terminal)?;
    rustix::pty::unlockpt(&terminal)?;
    let name = rustix::pty::ptsname(&terminal, Vec::new())?;
    let slave = OpenOptions::new().read(true).write(true).open(std::ffi::OsStr::from_bytes(name.to_bytes()))?;
    let beside = spec.beside(&request.command)?;
    let mut command = shim.command("terminal");
    command.arg(beside.get_program()).args(beside.get_args());
    command.env_clear().envs(spec.env.iter().map(|(name, value)| (name, value))).current_dir(&spec.workdir);
    if !spec.env.iter().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm");
    }
    let child = command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave).spawn()?;
    session(child, terminal, request.stdin)
}

/// Around the terminal's side that is not the command's.
fn session(child: Child, terminal: OwnedFd, stdin: bool) -> io::Result<ExecSession> {
    rustix::io::ioctl_fionbio(&terminal, true)?;
    let resize = resizer(terminal.try_clone()?);
    let input = pipe::Sender::from_owned_fd_unchecked(terminal.try_clone()?)?;
    let stdout = until_hangup(pipe::Receiver::from_owned_fd_unchecked(terminal)?);
    let stdin: Option<kube_server::node_agent::Writer> = if stdin { Some(Box::new(input)) } else { None };
    Ok(ExecSession { stdin, stdout: Box::new(stdout), stderr: None, resize: Some(resize), exit: watch(child) })
}

/// A terminal whose other side is closed answers with an error, which is its end of file.
fn until_hangup(mut terminal: pipe::Receiver) -> impl AsyncRead + Send + Unpin {
    let (mut writer, reader) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = terminal.read(&mut buffer).await {
            if writer.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    });
    reader
}

fn resizer(terminal: OwnedFd) -> mpsc::UnboundedSender<(u16, u16)> {
    let (sender, mut sizes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((columns, rows)) = sizes.recv().await {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that has just closed has no size any more.
            let _ = rustix::termios::tcsetwinsize(&terminal, size);
        }
    });
    sender
}

/// Reports the exit code; kills the command when nobody waits for it any more.
fn watch(mut child: Child) -> oneshot::Receiver<Result<i32, String>> {
    let (mut sender, receiver) = oneshot::channel();
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = child.wait() => outcome,
            () = sender.closed() => {
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
                child.wait().await
            }
        };
        let code = outcome.map_err(|error| error.to_string()).map(|status| {
            use std::os::unix::process::ExitStatusExt;
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(9))
        });
        let _ = sender.send(code);
    });
    receiver
}
