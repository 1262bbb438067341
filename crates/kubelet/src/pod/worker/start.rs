//! Starts containers when it is their turn.

use std::sync::Arc;

use rustix::process::Signal;
use units::{Millis, Timestamp};

use super::image::Image;
use super::report::field_path;
use super::{NotReady, Program, Pull, RETRY, Role, Run, Worker, launch, now};
use crate::pod::hooks;
use crate::process::{Exit, Process};

/// An image that nobody pulls may yet be put there.
const IMAGE_RETRY: Millis = Millis::from_secs(10);

impl Worker {
    /// Starts containers in order: an init container after the one before it has ended well, the others at once.
    pub(super) async fn start_due(&mut self) -> Option<Timestamp> {
        let mut wake_at: Option<Timestamp> = None;
        for index in 0..self.containers.len() {
            let state = &self.containers[index];
            let due = match &state.run {
                Run::Running { .. } => None,
                // Its message is waited for.
                _ if matches!(state.pull, Pull::Running(_)) => None,
                Run::Waiting { .. } if state.last.is_some() => Some(state.backoff.until().max(state.retry_at)),
                Run::Waiting { .. } => Some(state.retry_at),
                Run::Terminated(end) if state.restarts_after(end.code, &self.pod) => Some(state.backoff.until()),
                Run::Terminated(_) => None,
            };
            if let Some(due) = due {
                if due <= now() {
                    self.start(index).await;
                } else {
                    self.wait_for_backoff(index);
                }
                let state = &self.containers[index];
                if !state.is_running() && !matches!(state.pull, Pull::Running(_)) {
                    let again = state.retry_at.max(state.backoff.until());
                    wake_at = Some(wake_at.map_or(again, |at| at.min(again)));
                }
            }
            let state = &self.containers[index];
            let holds_back = match state.role {
                Role::Init => state.terminated().is_none_or(|end| end.code != 0),
                Role::Sidecar => !state.started,
                Role::Main => false,
            };
            if holds_back {
                break;
            }
        }
        wake_at
    }

    pub(super) fn wait_for_backoff(&mut self, index: usize) {
        let pod = format!("{}_{}({})", self.name, self.namespace, self.uid);
        let state = &mut self.containers[index];
        if let Run::Terminated(end) = &state.run {
            let text = state.backoff.seconds_text(now());
            let message = format!("back-off {text} restarting failed container={} pod={pod}", state.spec.name);
            state.last = Some(end.clone());
            state.run = Run::Waiting { reason: "CrashLoopBackOff".into(), message: message.clone() };
            let path = format!("spec.containers{{{}}}", state.spec.name);
            let text = format!("Back-off restarting failed container {} in pod {pod}", state.spec.name);
            self.event(Some(path), "Warning", "BackOff", &text);
        }
    }

    pub(super) async fn start(&mut self, index: usize) {
        let restarted = self.containers[index].last.is_some() || self.containers[index].terminated().is_some();
        let attempt = self.containers[index].restarts + i32::from(restarted);
        let name = self.containers[index].spec.name.clone();
        let directory = self.directories.container(&name).join(attempt.to_string());
        let image = match self.image(index) {
            Image::OfHost => None,
            Image::Here(image) => Some(*image),
            Image::Awaited => return,
        };
        let program = {
            let node = self.node();
            let facts = self.facts(&self.pod, node.as_deref());
            let place = launch::Place { directories: &self.directories, run: &directory };
            let (client, config) = (&self.shared.client, &self.shared.config);
            launch::program(client, config, &facts, &self.containers[index].spec, &place, image.as_ref())
        };
        match program {
            Err(reason) => {
                // What is missing is not the image: it need not be asked for again.
                if let Some(image) = image {
                    self.containers[index].pull = Pull::Done(Ok(image));
                }
                self.not_ready(index, reason);
            }
            Ok(Program::Pause { left_out }) => {
                self.began(index, attempt, None, now());
                let state = &mut self.containers[index];
                (state.started, state.ready) = (true, true);
                if let Some(why) = left_out {
                    self.shared.leave_out(&self.containers[index].spec, &why);
                    self.container_event(index, "Warning", "LeftOut", &why);
                }
            }
            Ok(Program::Run { spec, stop_signal }) => {
                // Only the last two runs are kept, as upstream keeps one dead container.
                let _ = std::fs::remove_dir_all(self.directories.container(&name).join((attempt - 2).to_string()));
                let _ = std::fs::remove_dir_all(&directory);
                if image.is_none() {
                    self.present(index);
                }
                self.containers[index].image_id = image.map(|image| image.id);
                self.containers[index].stop_signal = stop_signal;
                match Process::start(&self.shared.config.shim, &directory, &spec).await {
                    Ok(process) => {
                        self.container_event(index, "Normal", "Created", &format!("Created container: {name}"));
                        self.began(index, attempt, Some(process.clone()), Timestamp(process.started().at_ms));
                        self.container_event(index, "Normal", "Started", &format!("Started container {name}"));
                        self.watch(index, process);
                        self.post_start(index, spec);
                    }
                    Err(error) => self.start_failed(index, attempt, &error.to_string()),
                }
            }
        }
    }

    pub(super) fn post_start(&self, index: usize, spec: crate::process::RunSpec) {
        let state = &self.containers[index];
        let hook = state.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
        let (Some(hook), Run::Running { process: Some(process), .. }) = (hook, &state.run) else { return };
        let (container, process, reach) = (state.spec.clone(), process.clone(), self.reach());
        let (shared, about) = (Arc::clone(&self.shared), self.reference(Some(field_path(state))));
        tokio::spawn(async move {
            if let Err(error) = hooks::run(&hook, &container, Some(&spec), &reach).await {
                shared
                    .client
                    .event(
                        &about,
                        "Warning",
                        "FailedPostStartHook",
                        &format!("PostStartHook failed: {error}"),
                        "kubelet",
                    )
                    .await;
                process.signal(Signal::KILL);
            }
        });
    }

    pub(super) fn start_failed(&mut self, index: usize, attempt: i32, message: &str) {
        self.began(index, attempt, None, now());
        self.container_event(index, "Warning", "Failed", &format!("Error: failed to start container: {message}"));
        self.exited(
            index,
            &Exit { code: 128, signal: None, error: Some(message.to_owned()), out_of_memory: false, at_ms: now().0 },
        );
    }

    pub(super) fn not_ready(&mut self, index: usize, reason: NotReady) {
        let (name, message, again) = match reason {
            NotReady::Image(message) => return self.pull_failed(index, message),
            NotReady::NeverPull(message) => ("ErrImageNeverPull", message, IMAGE_RETRY),
            NotReady::InvalidName(message) => ("InvalidImageName", message, IMAGE_RETRY),
            NotReady::Config(message) => ("CreateContainerConfigError", message, RETRY),
            NotReady::Create(message) => ("CreateContainerError", message, RETRY),
        };
        self.containers[index].retry_at = now() + again;
        let explained = match name {
            "ErrImageNeverPull" | "InvalidImageName" => format!("Error: {name}"),
            _ => format!("Error: {name}: {message}"),
        };
        let event = match name {
            "ErrImageNeverPull" => Some(("ErrImageNeverPull", message.clone())),
            "InvalidImageName" => Some(("InspectFailed", message.clone())),
            _ => None,
        };
        if self.wait(index, name, message) {
            for (reason, text) in event.into_iter().chain([("Failed", explained)]) {
                self.container_event(index, "Warning", reason, &text);
            }
        }
    }

    /// Says why the container waits; true when that is something new.
    pub(super) fn wait(&mut self, index: usize, reason: &str, message: String) -> bool {
        let state = &mut self.containers[index];
        if let Run::Terminated(end) = &state.run {
            state.last = Some(end.clone());
        }
        let is_new = !matches!(&state.run, Run::Waiting { reason: own, .. } if own == reason);
        state.run = Run::Waiting { reason: reason.into(), message };
        is_new
    }

    pub(super) fn began(&mut self, index: usize, attempt: i32, process: Option<Process>, started: Timestamp) {
        let state = &mut self.containers[index];
        if let Run::Terminated(end) = &state.run {
            state.last = Some(end.clone());
        }
        state.run = Run::Running { process, started };
        state.restarts = attempt;
        state.stopping = false;
        state.retry_at = Timestamp::default();
        state.started = state.spec.startup_probe.is_none();
        state.ready = state.started && state.spec.readiness_probe.is_none();
    }
}
