//! Who decides whether a run starts: the shim that was sent for it, or a daemon that came after the one that sent it.
//!
//! A daemon may be killed after it has started a shim and before the shim has recorded its program. The next daemon must
//! neither start a second program nor wait for ever, so both take the same lock: the shim before it starts anything and for
//! as long as it lives, the daemon to withdraw the ticket that the shim was sent with.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// A shim that holds the lock records its program within milliseconds.
const POLL: Duration = Duration::from_millis(2);

fn ticket_path(directory: &Path) -> PathBuf {
    directory.join("ticket")
}

fn lock_file(directory: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(directory.join("claim"))
}

/// A ticket that no other run of this directory has.
pub(crate) fn issue(directory: &Path) -> io::Result<String> {
    let ticket = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
    fs::write(ticket_path(directory), &ticket)?;
    Ok(ticket)
}

/// The shim's side: the lock, to be kept until its end.
///
/// # Errors
/// When the ticket was withdrawn.
pub(crate) fn claim(directory: &Path, ticket: &str) -> io::Result<File> {
    let lock = lock_file(directory)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    match fs::read_to_string(ticket_path(directory)) {
        Ok(valid) if valid == ticket => Ok(lock),
        _ => Err(io::Error::other("another daemon has taken over")),
    }
}

/// The daemon's side: returns when it is settled whether the run has started.
#[expect(
    clippy::disallowed_methods,
    reason = "a lock has no event to wait for, and this is milliseconds at a takeover"
)]
pub(crate) fn settle(directory: &Path) {
    let recorded = || directory.join("started.json").exists() || directory.join("exit.json").exists();
    while !recorded() && directory.exists() {
        // A lock that cannot be made means a directory that is just going away.
        let Ok(lock) = lock_file(directory) else { return };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_file(ticket_path(directory));
            return;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_that_comes_too_late_starts_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let early = issue(directory.path()).unwrap();
        settle(directory.path());
        assert!(claim(directory.path(), &early).is_err());
        let ticket = issue(directory.path()).unwrap();
        assert!(claim(directory.path(), &early).is_err());
        let held = claim(directory.path(), &ticket).unwrap();

        // While it holds the claim the daemon waits for its record.
        let waiting = {
            let path = directory.path().to_owned();
            std::thread::spawn(move || settle(&path))
        };
        fs::write(directory.path().join("started.json"), "{}").unwrap();
        waiting.join().unwrap();
        drop(held);
    }
}
