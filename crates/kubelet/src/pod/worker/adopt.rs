//! What a new daemon makes of the containers that an earlier one left.

use rustix::process::Signal;
use units::Timestamp;

use super::watch::terminated;
use super::{Backoff, Run, Source, Terminated, Worker, launch, now, source};
use crate::process::Process;

impl Worker {
    /// Finds what a daemon that died left running, so that nothing is started twice.
    pub(super) fn adopt(&mut self) {
        let old_ip =
            self.pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
        self.pod_ip = old_ip.filter(|ip| self.shared.occupy_pod_ip(&self.node_name(), *ip));
        for index in 0..self.containers.len() {
            let directory = self.directories.container(&self.containers[index].spec.name);
            let Some(attempt) = latest_attempt(&directory) else {
                self.adopt_without_process(index);
                continue;
            };
            self.containers[index].restarts = attempt;
            self.containers[index].last = (attempt > 0).then(|| self.ended_record(index, attempt - 1)).flatten();
            let Some(process) = Process::take_over(&directory.join(attempt.to_string())) else {
                // The daemon died between making the directory and the start; this attempt never ran.
                continue;
            };
            let exit = process.exit();
            let state = &mut self.containers[index];
            state.run = Run::Running { process: Some(process.clone()), started: Timestamp(process.started().at_ms) };
            let image = process.spec().and_then(|spec| spec.container?.image);
            state.stop_signal = match (&image, source(&self.shared.config, &state.spec)) {
                (Some(image), _) => crate::signals::parse(&image.stop_signal),
                (None, Ok(Source::Host(entry))) => entry.stop_signal.as_deref().and_then(crate::signals::parse),
                (None, _) => None,
            };
            state.image_id = image.map(|image| image.id);
            match exit {
                Some(exit) => {
                    let finished = Timestamp(exit.at_ms);
                    self.exited(index, &exit);
                    let state = &mut self.containers[index];
                    state.backoff = Backoff::resumed(state.restarts, finished);
                }
                None => {
                    // A fault that stopped it ended with the daemon that knew of it.
                    process.signal_members(&crate::procfs::all(), Signal::CONT);
                    self.was_ready(index);
                    self.watch(index, process);
                }
            }
        }
    }

    /// A container that only holds its place has no records; the pod's own status says that it ran.
    pub(super) fn adopt_without_process(&mut self, index: usize) {
        let statuses = self.pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let name = &self.containers[index].spec.name;
        let running = statuses
            .into_iter()
            .flatten()
            .find(|status| status.name == *name)
            .and_then(|status| status.state.as_ref()?.running.as_ref());
        let holds_place = match source(&self.shared.config, &self.containers[index].spec) {
            Ok(Source::Host(entry)) => entry.pause || entry.missing(&launch::search_path()).is_some(),
            _ => false,
        };
        if let (Some(running), true) = (running, holds_place) {
            let started = running.started_at.as_ref().map_or_else(now, |time| time.0.into());
            let state = &mut self.containers[index];
            state.run = Run::Running { process: None, started };
            (state.started, state.ready) = (true, true);
        }
    }

    /// A restart of the daemon must not make a ready pod unready until its next probe.
    pub(super) fn was_ready(&mut self, index: usize) {
        let statuses = self.pod.status.as_ref();
        let all = statuses.into_iter().flat_map(|status| {
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
        });
        let state = &mut self.containers[index];
        if let Some(status) = all.into_iter().find(|status| status.name == state.spec.name) {
            state.ready = status.ready;
            state.started = status.started.unwrap_or(false);
        }
    }

    pub(super) fn ended_record(&self, index: usize, attempt: i32) -> Option<Terminated> {
        let directory = self.directories.container(&self.containers[index].spec.name).join(attempt.to_string());
        let process = Process::find(&directory)?;
        let id = format!("marea://{}/{}/{attempt}", self.uid, self.containers[index].spec.name);
        Some(terminated(&process.exit()?, Timestamp(process.started().at_ms), id))
    }
}

/// The highest numbered run in a container's directory.
fn latest_attempt(directory: &std::path::Path) -> Option<i32> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
}
