//! The life of one pod: a task that is told of changes, ends of containers and probe results, and moves the pod on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube_server::DeleteOptions;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;
use units::{Millis, Timestamp};

use super::backoff::Backoff;
use super::container::{self, ContainerState, Role, Run, Terminated};
use super::downward::Facts;
use super::hooks::Reach;
use super::launch::{self, Directories, NotReady, Program};
use super::probes::{self, Kind, Report, Target};
use super::status;
use super::stop;
use super::volumes::{self, Tokens, Volumes};
use crate::clock::now;
use crate::process::{Exit, Process};
use crate::shared::Shared;

/// A pod whose volumes or configuration are missing is tried again this often, besides on every change of a ConfigMap,
/// Secret or Service. Upstream waits for its next sync of 10 s or more; here nothing is shared with a busy node.
const RETRY: Millis = Millis(500);
/// Volumes from ConfigMaps and Secrets are looked at this often even if no change was seen; tokens are replaced then.
const REFRESH: Duration = Duration::from_secs(60);
const DEFAULT_GRACE_SECONDS: i64 = 30;

#[derive(Debug)]
pub(crate) enum Message {
    Changed(Arc<Pod>),
    /// The object is gone: end everything at once.
    Gone,
    /// Something that the pod refers to may have changed.
    Refresh,
    Exited {
        container: String,
        attempt: i32,
        exit: Exit,
    },
    Probe {
        container: String,
        attempt: i32,
        kind: Kind,
        report: Report,
    },
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    uid: String,
    namespace: String,
    name: String,
    directories: Directories,
    sender: mpsc::UnboundedSender<Message>,
    inbox: mpsc::UnboundedReceiver<Message>,
    containers: Vec<ContainerState>,
    pod_ip: Option<Ipv4Addr>,
    started: Timestamp,
    tokens: Tokens,
    volumes_ready: bool,
    reported_mount_failure: String,
    written: Option<serde_json::Value>,
    gone: bool,
    refresh_at: Instant,
}

impl Worker {
    /// Takes up what runs already. Must be called on the runtime.
    pub(crate) fn new(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        sender: mpsc::UnboundedSender<Message>,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Worker {
        let metadata = &pod.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let status = pod.status.as_ref();
        let started = status.and_then(|status| status.start_time.as_ref()).map_or_else(now, |time| time.0.into());
        let mut worker = Worker {
            directories: Directories { root: shared.config.data_dir.join("pods").join(&uid) },
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            containers: container::all(&pod),
            pod_ip: None,
            started,
            tokens: Tokens::default(),
            volumes_ready: false,
            reported_mount_failure: String::new(),
            written: None,
            gone: false,
            refresh_at: Instant::now() + REFRESH,
            shared,
            uid,
            sender,
            inbox,
            pod,
        };
        worker.adopt();
        worker.publish();
        worker
    }

    fn publish(&self) {
        self.shared.publish(&self.namespace, &self.name, &self.uid, &self.pod, &self.containers);
    }

    /// Ends when the pod has ended and its object is gone or final.
    pub(crate) async fn run(mut self) {
        loop {
            let wake_at = self.advance().await;
            self.write_status().await;
            if self.is_over() {
                break;
            }
            let until_wake =
                wake_at.map_or(REFRESH, |at| Duration::from_millis(u64::try_from((at - now()).0).unwrap_or(0)));
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.receive(message),
                    None => break,
                },
                () = tokio::time::sleep(until_wake) => {}
                () = tokio::time::sleep_until(self.refresh_at) => {
                    self.volumes_ready = false;
                    self.refresh_at = Instant::now() + REFRESH;
                }
            }
            // Everything that is already there is one step.
            while let Ok(message) = self.inbox.try_recv() {
                self.receive(message);
            }
        }
        self.finish().await;
    }

    fn is_terminating(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    fn any_running(&self) -> bool {
        self.containers.iter().any(ContainerState::is_running)
    }

    fn is_over(&self) -> bool {
        !self.any_running() && (self.is_terminating() || self.has_ended())
    }

    /// True when no container will ever run again.
    fn has_ended(&self) -> bool {
        let failed_init = self.containers.iter().any(|state| {
            state.role == Role::Init
                && state.terminated().is_some_and(|end| end.code != 0 && !state.restarts_after(end.code, &self.pod))
        });
        let mut mains = self.containers.iter().filter(|state| state.role == Role::Main);
        failed_init
            || mains.all(|state| state.terminated().is_some_and(|end| !state.restarts_after(end.code, &self.pod)))
    }

    /// Finds what a daemon that died left running, so that nothing is started twice.
    fn adopt(&mut self) {
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
            state.stop_signal = launch::entry(&self.shared.config, &state.spec)
                .ok()
                .and_then(|entry| entry.stop_signal.as_deref().and_then(crate::signals::parse));
            match exit {
                Some(exit) => {
                    let finished = Timestamp(exit.at_ms);
                    self.exited(index, &exit);
                    let state = &mut self.containers[index];
                    state.backoff = Backoff::resumed(state.restarts, finished);
                }
                None => {
                    self.was_ready(index);
                    self.watch(index, process);
                }
            }
        }
    }

    /// A container that only holds its place has no records; the pod's own status says that it ran.
    fn adopt_without_process(&mut self, index: usize) {
        let statuses = self.pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let name = &self.containers[index].spec.name;
        let running = statuses
            .into_iter()
            .flatten()
            .find(|status| status.name == *name)
            .and_then(|status| status.state.as_ref()?.running.as_ref());
        let holds_place = launch::entry(&self.shared.config, &self.containers[index].spec)
            .is_ok_and(|entry| entry.pause || entry.missing(&launch::search_path()).is_some());
        if let (Some(running), true) = (running, holds_place) {
            let started = running.started_at.as_ref().map_or_else(now, |time| time.0.into());
            let state = &mut self.containers[index];
            state.run = Run::Running { process: None, started };
            (state.started, state.ready) = (true, true);
        }
    }

    /// A restart of the daemon must not make a ready pod unready until its next probe.
    fn was_ready(&mut self, index: usize) {
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

    fn ended_record(&self, index: usize, attempt: i32) -> Option<Terminated> {
        let directory = self.directories.container(&self.containers[index].spec.name).join(attempt.to_string());
        let process = Process::find(&directory)?;
        let id = format!("marea://{}/{}/{attempt}", self.uid, self.containers[index].spec.name);
        Some(terminated(&process.exit()?, Timestamp(process.started().at_ms), id))
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Changed(pod) => self.pod = pod,
            Message::Gone => self.gone = true,
            Message::Refresh => self.volumes_ready = false,
            Message::Exited { container, attempt, exit } => {
                if let Some(index) = self.position(&container, attempt) {
                    self.exited(index, &exit);
                }
            }
            Message::Probe { container, attempt, kind, report } => {
                if let Some(index) = self.position(&container, attempt) {
                    self.probed(index, kind, report);
                }
            }
        }
    }

    /// The container, unless the message is about an earlier run of it.
    fn position(&self, container: &str, attempt: i32) -> Option<usize> {
        self.containers
            .iter()
            .position(|state| state.spec.name == container && state.restarts == attempt && state.is_running())
    }

    /// Does what can be done now; returns when to look again even if nothing is heard.
    async fn advance(&mut self) -> Option<Timestamp> {
        if self.is_terminating() {
            self.terminate();
            return None;
        }
        if self.has_ended() {
            self.stop_sidecars();
            return None;
        }
        if let Err(message) = self.prepare().await {
            if self.reported_mount_failure != message {
                self.event(None, "Warning", "FailedMount", &message);
                self.reported_mount_failure = message;
            }
            return Some(now() + RETRY);
        }
        self.start_due().await
    }

    async fn prepare(&mut self) -> Result<(), String> {
        if self.pod_ip.is_none() {
            let node = self.node_name();
            self.pod_ip =
                Some(self.shared.allocate_pod_ip(&node).ok_or_else(|| format!("node {node} has no free pod address"))?);
            self.write_status().await;
        }
        if self.volumes_ready {
            return Ok(());
        }
        let only_holds_place = self
            .containers
            .iter()
            .all(|state| launch::entry(&self.shared.config, &state.spec).is_ok_and(|entry| entry.pause));
        if !only_holds_place {
            self.connect().await?;
            std::fs::create_dir_all(self.directories.volumes())
                .map_err(|error| format!("cannot create the pod's directory: {error}"))?;
            let pod = Arc::clone(&self.pod);
            let node = self.node();
            let facts = self.facts(&pod, node.as_deref());
            let directory = self.directories.volumes();
            let mut tokens = std::mem::take(&mut self.tokens);
            let volumes = Volumes {
                client: &self.shared.client,
                config: &self.shared.config,
                facts: &facts,
                directory: &directory,
            };
            let outcome = volumes.sync(&mut tokens, now()).await;
            self.tokens = tokens;
            outcome?;
        }
        self.volumes_ready = true;
        Ok(())
    }

    /// Gives the pod its network namespace, or finds it as an earlier daemon left it.
    async fn connect(&self) -> Result<(), String> {
        let Some(router) = self.shared.config.dialer.router() else { return Ok(()) };
        let node = self.shared.node_ip(&self.node_name()).parse().ok();
        let attach = async {
            if let Some(node) = node {
                router.add_address(node).await?;
            }
            router.attach(&self.uid, self.ip(), node).await
        };
        attach.await.map(drop).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("Failed to create pod sandbox: {error}{cause}")
        })
    }

    /// Starts containers in order: an init container after the one before it has ended well, the others at once.
    async fn start_due(&mut self) -> Option<Timestamp> {
        let mut wake_at: Option<Timestamp> = None;
        for index in 0..self.containers.len() {
            let state = &self.containers[index];
            let due = match &state.run {
                Run::Running { .. } => None,
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
                if !state.is_running() {
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

    fn wait_for_backoff(&mut self, index: usize) {
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

    async fn start(&mut self, index: usize) {
        let restarted = self.containers[index].last.is_some() || self.containers[index].terminated().is_some();
        let attempt = self.containers[index].restarts + i32::from(restarted);
        let name = self.containers[index].spec.name.clone();
        let directory = self.directories.container(&name).join(attempt.to_string());
        let program = {
            let node = self.node();
            let facts = self.facts(&self.pod, node.as_deref());
            let place = launch::Place { directories: &self.directories, run: &directory };
            launch::program(&self.shared.client, &self.shared.config, &facts, &self.containers[index].spec, &place)
        };
        match program {
            Err(reason) => self.not_ready(index, reason),
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
                let image = self.containers[index].spec.image.clone().unwrap_or_default();
                self.container_event(
                    index,
                    "Normal",
                    "Pulled",
                    &format!("Container image {image:?} already present on machine"),
                );
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

    fn post_start(&self, index: usize, spec: crate::process::RunSpec) {
        let state = &self.containers[index];
        let hook = state.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
        let (Some(hook), Run::Running { process: Some(process), .. }) = (hook, &state.run) else { return };
        let (container, process, reach) = (state.spec.clone(), process.clone(), self.reach());
        let (shared, about) = (Arc::clone(&self.shared), self.reference(Some(field_path(state))));
        tokio::spawn(async move {
            if let Err(error) = super::hooks::run(&hook, &container, Some(&spec), &reach).await {
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

    fn start_failed(&mut self, index: usize, attempt: i32, message: &str) {
        self.began(index, attempt, None, now());
        self.container_event(index, "Warning", "Failed", &format!("Error: failed to start container: {message}"));
        self.exited(index, &Exit { code: 128, signal: None, error: Some(message.to_owned()), at_ms: now().0 });
    }

    fn not_ready(&mut self, index: usize, reason: NotReady) {
        let state = &mut self.containers[index];
        let previous = match &state.run {
            Run::Waiting { reason, .. } => reason.clone(),
            Run::Terminated(end) => {
                state.last = Some(end.clone());
                String::new()
            }
            Run::Running { .. } => String::new(),
        };
        let (name, message) = match reason {
            NotReady::Image(message) if matches!(previous.as_str(), "ErrImagePull" | "ImagePullBackOff") => {
                state.backoff.ended(now(), now());
                state.retry_at = state.backoff.until();
                ("ImagePullBackOff", message)
            }
            NotReady::Image(message) => {
                state.retry_at = now() + Millis::from_secs(1);
                ("ErrImagePull", message)
            }
            NotReady::Config(message) => {
                state.retry_at = now() + RETRY;
                ("CreateContainerConfigError", message)
            }
        };
        state.run = Run::Waiting { reason: name.into(), message: message.clone() };
        if previous != name {
            self.container_event(
                index,
                "Warning",
                if name == "ImagePullBackOff" { "BackOff" } else { "Failed" },
                &format!("Error: {name}: {message}"),
            );
        }
    }

    fn began(&mut self, index: usize, attempt: i32, process: Option<Process>, started: Timestamp) {
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

    /// Listens for the end and starts the probes.
    fn watch(&mut self, index: usize, process: Process) {
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

    fn probe(&mut self, index: usize, kind: Kind) {
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

    fn probed(&mut self, index: usize, kind: Kind, report: Report) {
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

    fn exited(&mut self, index: usize, exit: &Exit) {
        let id = self.containers[index].id(&self.uid);
        let state = &mut self.containers[index];
        let Run::Running { started, .. } = state.run else { return };
        state.stop_probes();
        let end = terminated(exit, started, id);
        state.backoff.ended(started, end.finished);
        (state.ready, state.started, state.stopping) = (false, false, false);
        state.run = Run::Terminated(end);
    }

    /// Ends the main containers, and the sidecars once those have ended.
    fn terminate(&mut self) {
        let grace = if self.gone { 0 } else { self.grace_seconds() };
        for index in 0..self.containers.len() {
            if self.containers[index].role != Role::Sidecar || self.gone {
                self.stop_for_good(index, grace);
            }
        }
        let mains_run = self.containers.iter().any(|state| state.role != Role::Sidecar && state.is_running());
        if !mains_run {
            self.stop_sidecars();
        }
    }

    fn stop_sidecars(&mut self) {
        let grace = if self.gone { 0 } else { self.grace_seconds() };
        for index in (0..self.containers.len())
            .rev()
            .filter(|index| self.containers[*index].role == Role::Sidecar)
            .collect::<Vec<_>>()
        {
            self.stop_for_good(index, grace);
        }
    }

    fn stop_for_good(&mut self, index: usize, grace: i64) {
        let name = self.containers[index].spec.name.clone();
        // Probes of liveness and startup end with the decision to stop; readiness goes on until the container has ended.
        self.stop(index, grace, &format!("Stopping container {name}"));
    }

    fn stop(&mut self, index: usize, grace_seconds: i64, message: &str) {
        let reach = self.reach();
        let state = &mut self.containers[index];
        let Run::Running { process, .. } = &state.run else { return };
        let Some(process) = process.clone() else {
            let exit = Exit { code: 0, signal: None, error: None, at_ms: now().0 };
            return self.exited(index, &exit);
        };
        if state.stopping && grace_seconds > 0 {
            return;
        }
        let already = std::mem::replace(&mut state.stopping, true);
        let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
        let signal = state.stop_signal.unwrap_or(Signal::TERM);
        let stopping = stop::stop(process, state.spec.clone(), signal, grace, reach);
        let (shared, about) = (Arc::clone(&self.shared), self.reference(Some(field_path(&self.containers[index]))));
        tokio::spawn(async move {
            if let Err(error) = stopping.await {
                shared
                    .client
                    .event(&about, "Warning", "FailedPreStopHook", &format!("PreStopHook failed: {error}"), "kubelet")
                    .await;
            }
        });
        if !already {
            self.container_event(index, "Normal", "Killing", message);
        }
    }

    fn grace_seconds(&self) -> i64 {
        let spec = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        self.pod.metadata.deletion_grace_period_seconds.or(spec).unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    fn ip(&self) -> Ipv4Addr {
        self.pod_ip.unwrap_or(Ipv4Addr::LOCALHOST)
    }

    fn reach(&self) -> Reach {
        Reach { ip: self.ip(), dialer: self.shared.config.dialer.clone() }
    }

    fn node_name(&self) -> String {
        self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.shared.client.get::<Node>(None, &self.node_name())
    }

    fn facts<'a>(&self, pod: &'a Pod, node: Option<&'a Node>) -> Facts<'a> {
        Facts { pod, pod_ip: self.ip().to_string(), host_ip: self.shared.node_ip(&self.node_name()), node }
    }

    fn reference(&self, field_path: Option<String>) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            field_path,
            ..ObjectReference::default()
        }
    }

    fn container_event(&self, index: usize, kind: &'static str, reason: &'static str, message: &str) {
        self.event(Some(field_path(&self.containers[index])), kind, reason, message);
    }

    /// Events are written beside the pod's own steps, which must not wait for them.
    fn event(&self, field_path: Option<String>, kind: &'static str, reason: &'static str, message: &str) {
        let (client, about, message) = (self.shared.client.clone(), self.reference(field_path), message.to_owned());
        tokio::spawn(async move { client.event(&about, kind, reason, &message, "kubelet").await });
    }

    async fn write_status(&mut self) {
        self.publish();
        if self.gone {
            return;
        }
        let status = status::build(&status::Inputs {
            pod: &self.pod,
            uid: &self.uid,
            pod_ip: self.pod_ip.map(|ip| ip.to_string()),
            host_ip: self.shared.node_ip(&self.node_name()),
            started: self.started,
            containers: &self.containers,
            now: now(),
            finished: self.is_terminating() && !self.any_running(),
        });
        if self.written.as_ref() == Some(&status) {
            return;
        }
        // The uid guards against writing to a new pod of the same name.
        let patch = serde_json::json!({"metadata": {"uid": self.uid}, "status": status});
        match self.shared.client.patch_status::<Pod>(Some(&self.namespace), &self.name, &patch).await {
            Ok(pod) => {
                self.pod = Arc::new(pod);
                self.written = Some(status);
            }
            Err(error) if matches!(error.code(), 404 | 409) => self.gone |= error.code() == 404,
            Err(error) => {
                tracing::warn!(pod = %self.name, namespace = %self.namespace, %error, "cannot write a pod's status")
            }
        }
    }

    async fn finish(mut self) {
        let node = self.node_name();
        if self.is_terminating() {
            if !self.gone {
                let options = DeleteOptions {
                    grace_period_seconds: Some(0),
                    uid: Some(self.uid.clone()),
                    ..DeleteOptions::default()
                };
                if let Err(error) = self.shared.client.delete::<Pod>(Some(&self.namespace), &self.name, &options).await
                    && !matches!(error.code(), 404 | 409)
                {
                    tracing::warn!(pod = %self.name, namespace = %self.namespace, %error, "cannot remove a pod that has ended");
                }
            }
            if let Err(error) = std::fs::remove_dir_all(&self.directories.root)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(pod = %self.name, %error, "cannot remove a pod's directory");
            }
            self.shared.forget(&self.namespace, &self.name, &self.uid);
        }
        if let Some(router) = self.shared.config.dialer.router() {
            router.detach(&self.uid).await;
        }
        if let Some(ip) = self.pod_ip.take() {
            self.shared.release_pod_ip(&node, ip);
        }
    }
}

fn field_path(state: &ContainerState) -> String {
    let list = if state.role == Role::Main { "containers" } else { "initContainers" };
    format!("spec.{list}{{{}}}", state.spec.name)
}

fn terminated(exit: &Exit, started: Timestamp, id: String) -> Terminated {
    let unknown = exit.at_ms == 0;
    let reason = match exit {
        Exit { error: Some(_), .. } => "StartError",
        _ if unknown => "ContainerStatusUnknown",
        Exit { code: 0, .. } => "Completed",
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

/// The highest numbered run in a container's directory.
fn latest_attempt(directory: &std::path::Path) -> Option<i32> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
}

/// True when a change of a ConfigMap, Secret or Service may matter to the pod.
pub(crate) fn depends_on_configuration(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let reads_env = spec
        .into_iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
        .any(|container| {
            container.env_from.is_some() || container.env.iter().flatten().any(|variable| variable.value_from.is_some())
        });
    reads_env || volumes::are_live(pod)
}
