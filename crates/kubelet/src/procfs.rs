//! What the kernel says about processes (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// The kernel's clock ticks per second. USER_HZ is 100 on every architecture that Linux and Rust share.
pub const TICKS_PER_SECOND: u64 = 100;

/// One process. A process id is reused, the pair of id and start time is not until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: i32,
    pub parent: i32,
    /// Its process group, named after the process that founded it.
    pub group: i32,
    pub zombie: bool,
    /// Own CPU time in ticks.
    pub own_ticks: u64,
    /// CPU time in ticks of children that ended and were waited for.
    pub reaped_ticks: u64,
    /// Ticks since boot.
    pub start: u64,
}

/// # Errors
/// When there is no such process.
pub fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has an unknown format")))
}

/// The command name is in parentheses and may itself hold spaces and parentheses, so fields count from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid: head.split_once(' ')?.0.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        own_ticks: ticks(11)? + ticks(12)?,
        reaped_ticks: ticks(13)? + ticks(14)?,
        start: ticks(19)?,
    })
}

/// Every process of the host by id. Processes that end while this runs are left out.
pub fn all() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| stat(pid).ok())
        .map(|stat| (stat.pid, stat))
        .collect()
}

/// The processes below `root`, without it.
pub fn descendants(processes: &BTreeMap<i32, Stat>, root: i32) -> Vec<Stat> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in processes.values().filter(|process| process.parent == parent) {
            found.push(*child);
            parents.push(child.pid);
        }
    }
    found
}

/// A process and everything below it, parents first.
pub fn family(root: i32) -> Vec<i32> {
    let below = descendants(&all(), root);
    std::iter::once(root).chain(below.iter().map(|process| process.pid)).collect()
}

/// Sends a signal to each. One that ends between the look and the signal needs none.
pub fn signal_all(pids: impl IntoIterator<Item = i32>, signal: Signal) {
    for pid in pids.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether the process was stopped by a signal. False when there is none.
pub fn is_stopped(pid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// As [`is_stopped`], and for a process that waits for a child which was stopped before it became another program: the
/// kernel lets nothing stop the waiting one (vfork).
pub fn stands_still(pid: i32) -> bool {
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    is_stopped(pid) || children().split_ascii_whitespace().filter_map(|child| child.parse().ok()).any(is_stopped)
}

/// Proportional set size in bytes: pages shared with other processes count by their share, so that ten replicas of one
/// program are not charged ten times for its text. Falls back to the resident set.
pub fn memory_bytes(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).and_then(kibibytes);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(kibibytes)
    };
    pss.or_else(resident).unwrap_or(0) * 1024
}

fn kibibytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Changes with every boot, and start times with it.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_command_name_with_spaces_and_parentheses() {
        let text = "42 (odd ) name) S 7 41 42 0 -1 4194560 100 0 0 0 11 5 3 2 20 0 1 0 9000 1000 50 1 0 0";
        let expected =
            Stat { pid: 42, parent: 7, group: 41, zombie: false, own_ticks: 16, reaped_ticks: 5, start: 9000 };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (cut off) S 7"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_place_in_the_tree() {
        let own = i32::try_from(std::process::id()).unwrap();
        let processes = all();
        let parent = processes[&own].parent;
        assert!(descendants(&processes, parent).iter().any(|process| process.pid == own));
        assert!(memory_bytes(own) > 100_000);
    }
}
