//! A cloud that stands still for as long as this is held.

use kubelet::process::{family, is_stopped, signal_all};
use rustix::process::Signal;

use crate::connection::Connection;
use crate::folder::{Folder, FolderError, Lock};
use crate::postgres;

/// Dropping it lets everything go on.
pub(super) struct Still {
    /// In the order in which they were stopped.
    pids: Vec<i32>,
    /// Keeps a cloud from starting in the meantime, where none runs.
    _lock: Option<Lock>,
}

impl Still {
    /// Stops the cloud's process, its databases and its pods; those that an earlier `kill -9` left running too. `None` when
    /// somebody else holds the folder who is not a running cloud, such as one that is just starting.
    pub(super) fn hold(folder: &Folder) -> Result<Option<Still>, FolderError> {
        let lock = folder.lock()?;
        let mut still = Still { pids: Vec::new(), _lock: None };
        if lock.is_none() {
            let serving = Connection::load(folder)?.and_then(|connection| connection.serving_pid());
            let Some(pid) = serving else { return Ok(None) };
            still.stop(vec![pid]);
        }
        still._lock = lock;
        // Twice: what was being started at the first look is there at the second.
        for _ in 0..2 {
            for server in children(&folder.root().join("postgres")) {
                still.stop(postgres::running(&server).map(family).unwrap_or_default());
            }
            for cluster in children(&folder.root().join("clusters")) {
                still.stop(kubelet::recorded_processes(&cluster.join("kubelet")));
            }
        }
        Ok(Some(still))
    }

    fn stop(&mut self, pids: Vec<i32>) {
        // What stands still already, by a fault, is to stand still afterwards as well.
        let new: Vec<i32> = pids.into_iter().filter(|pid| !is_stopped(*pid)).collect();
        signal_all(new.iter().copied(), Signal::STOP);
        self.pids.extend(new);
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // The cloud last: its probes are to find pods that answer.
        signal_all(self.pids.iter().rev().copied(), Signal::CONT);
    }
}

fn children(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
