//! The shim: the parent of one container's processes. It owns their output, so that neither is lost when the daemon dies,
//! and records how the container ended.
//!
//! It makes itself the reaper of everything below it: a process that forks away from its parent still belongs to the
//! container, is charged to it, and ends with it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use k8s_openapi::jiff;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};

use crate::cgroup::Limits;
use crate::container::Contained;
use crate::log_writer::{LogWriter, Stream};
use crate::process::{Exit, Identity, RunSpec, Started, claim, read_record, write_record};
use crate::procfs;

/// How often orphans that ended are reaped while the container says nothing.
const REAP_EVERY: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Exit code of a container that could not be started, as containerd reports it.
const START_FAILED: i32 = 128;
const USAGE: &str =
    "usage: marea-shim run DIRECTORY TICKET | marea-shim terminal PROGRAM [ARGUMENT…] | marea-shim hold DIRECTORY";

/// `run DIRECTORY` runs `DIRECTORY/spec.json` and leaves `started.json` and `exit.json` beside it; `terminal PROGRAM …`
/// makes standard input the controlling terminal and becomes the program; `hold DIRECTORY` holds a sandbox's namespaces.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let outcome = match arguments.iter().map(|argument| argument.to_str()).collect::<Vec<_>>().as_slice() {
        [Some("run"), Some(_), Some(ticket)] => run(&PathBuf::from(&arguments[1]), ticket),
        [Some("hold"), Some(_)] => network::sandbox::hold(Path::new(&arguments[1])),
        [Some("terminal"), _, ..] if arguments.len() > 1 => Err(become_program(&arguments[1..])),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening any more, and there is nowhere else to say it.
            let _ = writeln!(io::stderr(), "marea-shim: {error}");
            ExitCode::from(127)
        }
    }
}

/// Only returns when the program cannot be started.
fn become_program(argv: &[OsString]) -> io::Error {
    let controlling = || -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(io::stdin())?;
        Ok(())
    };
    match controlling() {
        Ok(()) => Command::new(&argv[0]).args(&argv[1..]).exec(),
        Err(error) => error,
    }
}

fn run(directory: &Path, ticket: &str) -> io::Result<()> {
    let _claim = claim::claim(directory, ticket)?;
    // A session of its own: no terminal of the daemon's reaches the container. Fails only for a group leader, which a
    // freshly spawned shim is not.
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let spec: RunSpec = read_record(&directory.join("spec.json"))
        .ok_or_else(|| io::Error::other(format!("{} has no readable spec.json", directory.display())))?;
    let started = start(&spec);
    let exit = match started {
        Ok(container) => {
            announce(directory, container.main)?;
            let mut exit = container.wait(LogWriter::open(&spec.log));
            exit.out_of_memory = spec.limits.as_ref().is_some_and(Limits::ran_out_of_memory);
            if let Some(contained) = &spec.container {
                contained.forget();
            }
            exit
        }
        Err(error) => Exit {
            code: START_FAILED,
            signal: None,
            error: Some(error.to_string()),
            out_of_memory: false,
            at_ms: now_ms(),
        },
    };
    spec.limits.iter().for_each(Limits::remove);
    write_record(&directory.join("exit.json"), &exit)
}

/// Starts the program within its limits.
fn start(spec: &RunSpec) -> io::Result<Container> {
    let own = std::process::id();
    spec.limits.as_ref().map_or(Ok(()), |limits| limits.enter(own))?;
    let started = match &spec.container {
        Some(contained) => Container::run(contained),
        None => Container::start(spec),
    };
    // Also when nothing was started: the cgroup is to be removed.
    let left = spec.limits.as_ref().map_or(Ok(()), |limits| limits.leave(own));
    started.and_then(|container| left.map(|()| container))
}

/// Records the processes and tells the daemon, which waits for the end of the shim's standard output.
fn announce(directory: &Path, main: Pid) -> io::Result<()> {
    let own = rustix::process::getpid();
    let started = Started {
        shim: Identity::of(own.as_raw_nonzero().get())?,
        main: Identity::of(main.as_raw_nonzero().get())?,
        at_ms: now_ms(),
    };
    write_record(&directory.join("started.json"), &started)?;
    let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

struct Container {
    main: Pid,
    ended: OwnedFd,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Container {
    fn start(spec: &RunSpec) -> io::Result<Container> {
        let program = spec.argv.first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut child = Command::new(program)
            .args(&spec.argv[1..])
            .env_clear()
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&spec.workdir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that signals to the container do not reach the shim.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                io::Error::other(format!("cannot start `{program}` in `{}`: {error}", spec.workdir.display()))
            })?;
        let main = Pid::from_child(&child);
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        for stream in [&stdout, &stderr].into_iter().flatten() {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        Ok(Container { main, ended: rustix::process::pidfd_open(main, PidfdFlags::empty())?, stdout, stderr })
    }

    /// Has crun start the container; its first process becomes this one's child when crun ends.
    fn run(contained: &Contained) -> io::Result<Container> {
        let (main, stdout, stderr) = contained.run()?;
        for stream in [&stdout, &stderr] {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        let ended = rustix::process::pidfd_open(main, PidfdFlags::empty())?;
        Ok(Container { main, ended, stdout: Some(stdout), stderr: Some(stderr) })
    }

    /// Copies output until the main process ends, then ends whatever it left behind.
    fn wait(mut self, mut log: LogWriter) -> Exit {
        loop {
            let ended = self.poll();
            copy(&mut self.stdout, Stream::Stdout, &mut log);
            copy(&mut self.stderr, Stream::Stderr, &mut log);
            if ended {
                break;
            }
            reap_orphans(self.main);
        }
        let status = reap(self.main);
        let at_ms = now_ms();
        end_descendants();
        copy(&mut self.stdout, Stream::Stdout, &mut log);
        copy(&mut self.stderr, Stream::Stderr, &mut log);
        log.finish();
        let signal = status.and_then(WaitStatus::terminating_signal);
        let code = match signal {
            Some(signal) => 128 + signal,
            None => status.and_then(WaitStatus::exit_status).unwrap_or(START_FAILED),
        };
        Exit { code, signal, error: None, out_of_memory: false, at_ms }
    }

    /// Waits for output or the end; true at the end.
    fn poll(&self) -> bool {
        let mut wanted = vec![PollFd::new(&self.ended, PollFlags::IN)];
        wanted.extend(
            [&self.stdout, &self.stderr].into_iter().flatten().map(|stream| PollFd::new(stream, PollFlags::IN)),
        );
        match poll(&mut wanted, Some(&REAP_EVERY)) {
            Ok(_) => wanted[0].revents().contains(PollFlags::IN),
            // Interrupted by a signal: look again.
            Err(_) => false,
        }
    }
}

/// Moves everything that can be read now into the log; closes the stream at its end.
fn copy(stream: &mut Option<OwnedFd>, name: Stream, log: &mut LogWriter) {
    let mut buffer = [0_u8; 16 * 1024];
    while let Some(source) = stream.as_ref() {
        match rustix::io::read(source.as_fd(), &mut buffer) {
            Ok(0) => *stream = None,
            Ok(count) => log.write(name, &buffer[..count]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(_) => *stream = None,
        }
    }
}

fn reap(main: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(main), WaitOptions::empty()) {
            Ok(found) => return found.map(|(_, status)| status),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for ended orphans, one by one, so that the main process's own status is left for [`reap`].
fn reap_orphans(main: Pid) {
    for child in children() {
        if child != main {
            let _ = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Kills and reaps until nothing is left; what the killed leave behind becomes this process's child in the next round.
fn end_descendants() {
    loop {
        for child in children() {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let direct = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let pids: Vec<i32> = match direct {
        Ok(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => procfs::all().values().filter(|process| process.parent == own).map(|process| process.pid).collect(),
    };
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
