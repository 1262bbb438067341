//! Processes that faults and snapshots stop where they stand, and let go on.

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to each. One that has ended meanwhile needs none.
pub(crate) fn signal(pids: &[i32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, signal);
    }
}

/// A process and everything below it, parents first.
pub(crate) fn family(root: u32) -> Vec<i32> {
    let Ok(root) = i32::try_from(root) else { return Vec::new() };
    let mut found = vec![root];
    let mut index = 0;
    while index < found.len() {
        let pid = found[index];
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        index += 1;
    }
    found
}
