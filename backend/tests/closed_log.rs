//! The program outlives whoever read its log, and still ends when it is told to.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with the test, whatever became of it.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_without_a_reader_does_not_keep_it_from_draining() {
    let mut program = Program(
        Command::new(env!("CARGO_BIN_EXE_marea-backend"))
            .envs([("BIND_ADDRESS", "127.0.0.1:0"), ("DRAIN_SECONDS", "0")])
            // No database listens there; it is asked for only in the background.
            .envs([("PGHOST", "127.0.0.1"), ("PGPORT", "1"), ("PGSSLMODE", "disable"), ("KUBECONFIG", "/nonexistent")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = BufReader::new(program.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it served");
    }
    drop(log);
    let pid = rustix::process::Pid::from_child(&program.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while program.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it did not end after SIGTERM");
        std::thread::yield_now();
    }
}
