//! Processes behind the real shim: output, exit codes, orphans, and what a new daemon finds.

use std::path::Path;
use std::time::{Duration, Instant};

use kubelet::process::{Exit, Process, RunSpec, Shim};

fn shim() -> Shim {
    Shim::new([env!("CARGO_BIN_EXE_marea-shim").into()])
}

fn shell(directory: &Path, script: &str) -> RunSpec {
    RunSpec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: vec![("PATH".into(), std::env::var("PATH").unwrap()), ("GREETING".into(), "hello".into())],
        workdir: directory.to_owned(),
        log: directory.join("run/log"),
        container: None,
        limits: None,
    }
}

async fn start(directory: &Path, script: &str) -> Process {
    Process::start(&shim(), &directory.join("run"), &shell(directory, script)).await.unwrap()
}

async fn check(script: &str, expected: (i32, Option<i32>), output: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let exit = start(directory.path(), script).await.wait().await;
    assert_eq!((exit.code, exit.signal), expected, "{script}");
    let log = std::fs::read_to_string(directory.path().join("run/log")).unwrap();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines, output, "{script}");
}

#[tokio::test]
async fn exit_codes_signals_and_output_are_kept() {
    check("echo $GREETING; echo oops >&2; exit 3", (3, None), &["stdout F hello", "stderr F oops"]).await;
    check("kill -9 $$", (137, Some(9)), &[]).await;
    check("printf unfinished", (0, None), &["stdout F unfinished"]).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let spec = RunSpec { argv: vec!["/no/such/program".into()], ..shell(directory.path(), "") };
    let error = Process::start(&shim(), &directory.path().join("run"), &spec).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn a_new_daemon_finds_the_process_and_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let started = start(directory.path(), "sleep 600").await;
    let found = Process::find(&directory.path().join("run")).unwrap();
    assert_eq!(found.started(), started.started());
    assert!(found.is_running() && found.exit().is_none());
    found.signal(rustix::process::Signal::TERM);
    let exit = found.wait().await;
    assert_eq!((exit.code, exit.signal), (143, Some(15)));
    assert!(!found.is_running());
    assert_eq!(Process::find(&directory.path().join("run")).unwrap().exit(), Some(exit));
}

#[tokio::test]
async fn nothing_outlives_the_main_process() {
    let directory = tempfile::tempdir().unwrap();
    // The grandchild leaves its parent's group and session, as a daemon would.
    start(directory.path(), "setsid sh -c 'echo $$ > pid; exec sleep 600' & while [ ! -s pid ]; do sleep 0.01; done")
        .await
        .wait()
        .await;
    let pid = std::fs::read_to_string(directory.path().join("pid")).unwrap();
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists());
}

#[tokio::test]
async fn a_killed_shim_does_not_leave_its_program_running() {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path(), "sleep 600").await;
    let shim = rustix::process::Pid::from_raw(process.started().shim.pid).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    let exit = process.wait().await;
    assert_eq!(exit, Exit { code: 137, signal: None, error: None, out_of_memory: false, at_ms: 0 });
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.is_running() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert!(!process.is_running());
}

#[tokio::test]
async fn what_a_killed_program_left_behind_ends_when_a_new_daemon_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path(), "sleep 600 & echo $! > pid.new && mv pid.new pid; wait").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let wait_until = async |what: &str, holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::task::yield_now().await;
        }
    };
    let noted = directory.path().join("pid");
    wait_until("the worker", &|| noted.exists()).await;
    let worker: i32 = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
    let is_alive = || std::fs::read(format!("/proc/{worker}/cmdline")).is_ok_and(|command| !command.is_empty());
    for pid in [process.started().shim.pid, process.started().main.pid] {
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
    }
    wait_until("the end of shim and program", &|| !process.is_running()).await;
    assert!(is_alive(), "a worker outlives its master");
    Process::take_over(&directory.path().join("run")).unwrap();
    wait_until("the worker's end", &|| !is_alive()).await;
}
