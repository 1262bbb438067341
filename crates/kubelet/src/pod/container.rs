//! What is known of one container at this moment.

use k8s_openapi::api::core::v1::{Container, Pod};
use oci::Unpacked;
use rustix::process::Signal;
use tokio::task::AbortHandle;
use units::Timestamp;

use super::backoff::{Backoff, PullBackoff};
use crate::process::Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`, which stays beside the others.
    Sidecar,
    Main,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminated {
    pub code: i32,
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `StartError`, `ContainerStatusUnknown`
    pub reason: &'static str,
    pub message: String,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub id: String,
}

#[derive(Debug)]
pub(crate) enum Run {
    Waiting {
        reason: String,
        message: String,
    },
    Running {
        /// None for a container that only holds its place.
        process: Option<Process>,
        started: Timestamp,
    },
    Terminated(Terminated),
}

/// How far the container has come to its image's own files.
#[derive(Debug, Default)]
pub(crate) enum Pull {
    /// Nothing was asked for, or the last answer was used.
    #[default]
    Idle,
    Running(AbortHandle),
    Done(Result<Unpacked, String>),
}

#[derive(Debug)]
pub(crate) struct ContainerState {
    pub spec: Container,
    pub role: Role,
    pub run: Run,
    pub last: Option<Terminated>,
    pub restarts: i32,
    pub backoff: Backoff,
    pub pull: Pull,
    pub pull_backoff: PullBackoff,
    /// Why the last pull failed; while it is held back, and none otherwise.
    pub pull_failure: Option<String>,
    /// The image that it was last started from, where that is known by its digest.
    pub image_id: Option<String>,
    /// Not before this instant, for a container that could not be created.
    pub retry_at: Timestamp,
    /// The startup probe, if there is one, has succeeded.
    pub started: bool,
    pub ready: bool,
    pub probes: Vec<AbortHandle>,
    pub stop_signal: Option<Signal>,
    pub stopping: bool,
}

impl ContainerState {
    fn new(spec: &Container, role: Role) -> ContainerState {
        ContainerState {
            spec: spec.clone(),
            role,
            run: Run::Waiting {
                reason: if role == Role::Main { "ContainerCreating" } else { "PodInitializing" }.into(),
                message: String::new(),
            },
            last: None,
            restarts: 0,
            backoff: Backoff::default(),
            pull: Pull::Idle,
            pull_backoff: PullBackoff::default(),
            pull_failure: None,
            image_id: None,
            retry_at: Timestamp::default(),
            started: false,
            ready: false,
            probes: Vec::new(),
            stop_signal: None,
            stopping: false,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.run, Run::Running { .. })
    }

    pub(crate) fn terminated(&self) -> Option<&Terminated> {
        match &self.run {
            Run::Terminated(terminated) => Some(terminated),
            _ => None,
        }
    }

    /// `marea://<pod uid>/<container>/<attempt>`, the place of its records.
    pub(crate) fn id(&self, uid: &str) -> String {
        format!("marea://{uid}/{}/{}", self.spec.name, self.restarts)
    }

    /// True when nothing has run yet and nothing runs.
    pub(crate) fn never_ran(&self) -> bool {
        matches!(self.run, Run::Waiting { .. }) && self.last.is_none()
    }

    pub(crate) fn stop_probes(&mut self) {
        self.probes.drain(..).for_each(|probe| probe.abort());
    }

    /// Whether the pod's policy (or the sidecar's own) starts it again after this end.
    pub(crate) fn restarts_after(&self, code: i32, pod: &Pod) -> bool {
        match (self.role, pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")) {
            (Role::Sidecar, _) => true,
            (Role::Init, "Never") => false,
            (Role::Init, _) => code != 0,
            (Role::Main, "Never") => false,
            (Role::Main, "OnFailure") => code != 0,
            (Role::Main, _) => true,
        }
    }
}

impl Drop for ContainerState {
    fn drop(&mut self) {
        self.stop_probes();
        if let Pull::Running(pull) = &self.pull {
            pull.abort();
        }
    }
}

/// The containers of a pod in starting order.
pub(crate) fn all(pod: &Pod) -> Vec<ContainerState> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        ContainerState::new(container, if sidecar { Role::Sidecar } else { Role::Init })
    });
    init.chain(spec.containers.iter().map(|container| ContainerState::new(container, Role::Main))).collect()
}
