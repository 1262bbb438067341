//! Follows running containers: their ends and their probes.

use units::Timestamp;

use super::{Kind, Message, Report, Run, Target, Terminated, Worker, now, probes};
use crate::process::{Exit, Process};

impl Worker {
    /// Listens for the end and starts the probes.
    pub(super) fn watch(&mut self, index: usize, process: Process) {
        let state = &self.containers[index];
        let (container, attempt, sender) = (state.spec.name.clone(), state.restarts, self.sender.clone());
        tokio::spawn(async move {
            let exit = process.wait().await;
            // A closed inbox means that the pod's task is gone, and the end with it.
            let _ = sender.send(Message::Exited { container, attempt, exit });
        });
        if state.started {
            self.probe(index, Kind::Readiness);
            self.probe(index, Kind::Liveness);
        } else {
            self.probe(index, Kind::Startup);
        }
    }

    pub(super) fn probe(&mut self, index: usize, kind: Kind) {
        let reach = self.reach();
        let state = &mut self.containers[index];
        let Some(probe) = probes::of(&state.spec, kind).cloned() else { return };
        let Run::Running { process: Some(process), .. } = &state.run else { return };
        let target = Target { container: state.spec.clone(), spec: process.spec(), reach };
        let (container, attempt, sender) = (state.spec.name.clone(), state.restarts, self.sender.clone());
        let report =
            move |report| drop(sender.send(Message::Probe { container: container.clone(), attempt, kind, report }));
        state.probes.push(tokio::spawn(probes::run(kind, probe, target, report)).abort_handle());
    }

    pub(super) fn probed(&mut self, index: usize, kind: Kind, report: Report) {
        match report {
            Report::Failure { message } => {
                self.container_event(
                    index,
                    "Warning",
                    "Unhealthy",
                    &format!("{} probe failed: {message}", kind.label()),
                );
            }
            Report::Verdict { healthy } => match (kind, healthy) {
                (Kind::Readiness, healthy) => self.containers[index].ready = healthy,
                (Kind::Startup, true) => {
                    let state = &mut self.containers[index];
                    state.started = true;
                    state.ready = state.spec.readiness_probe.is_none();
                    self.probe(index, Kind::Readiness);
                    self.probe(index, Kind::Liveness);
                }
                (Kind::Startup | Kind::Liveness, false) if !self.is_terminating() => {
                    let name = &self.containers[index].spec.name;
                    let message =
                        format!("Container {name} failed {} probe, will be restarted", kind.label().to_lowercase());
                    let own = probes::of(&self.containers[index].spec, kind)
                        .and_then(|probe| probe.termination_grace_period_seconds);
                    self.stop(index, own.unwrap_or_else(|| self.grace_seconds()), &message);
                }
                (Kind::Startup | Kind::Liveness, _) => {}
            },
        }
    }

    pub(super) fn exited(&mut self, index: usize, exit: &Exit) {
        let id = self.containers[index].id(&self.uid);
        let state = &mut self.containers[index];
        let Run::Running { started, .. } = state.run else { return };
        state.stop_probes();
        let end = terminated(exit, started, id);
        state.backoff.ended(started, end.finished);
        (state.ready, state.started, state.stopping) = (false, false, false);
        state.run = Run::Terminated(end);
    }
}

pub(super) fn terminated(exit: &Exit, started: Timestamp, id: String) -> Terminated {
    let unknown = exit.at_ms == 0;
    let reason = match exit {
        Exit { error: Some(_), .. } => "StartError",
        _ if unknown => "ContainerStatusUnknown",
        Exit { code: 0, .. } => "Completed",
        Exit { out_of_memory: true, .. } => "OOMKilled",
        Exit { .. } => "Error",
    };
    Terminated {
        code: exit.code,
        signal: exit.signal,
        reason,
        message: exit.error.clone().unwrap_or_default(),
        started,
        finished: if unknown { now() } else { Timestamp(exit.at_ms) },
        id,
    }
}
