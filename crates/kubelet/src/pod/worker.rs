//! The life of one pod: a task that is told of changes, ends of containers and probe results, and moves the pod on.

mod adopt;
mod ending;
mod evict;
mod image;
mod report;
mod start;
mod watch;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use tokio::sync::mpsc;
use tokio::time::Instant;
use units::{Millis, Timestamp};

use super::backoff::Backoff;
use super::container::{self, ContainerState, Pull, Role, Run, Terminated};
use super::downward::Facts;
use super::hooks::Reach;
use super::launch::{self, Directories, NotReady, Program};
use super::probes::{self, Kind, Report, Target};
use super::status;
use super::stop;
use super::volumes::{self, Tokens, Volumes};
use crate::clock::now;
use crate::faults::{self, NodeFault};
use crate::images::{Fetched, Source, source};
use crate::process::Exit;
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
    /// The image that the container waits for is here, or is not to be had.
    Pulled {
        container: String,
        outcome: Result<Fetched, String>,
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
    /// When its volumes were last held against their limits.
    looked_at: Instant,
    /// Why it is ended for good although nobody deleted it.
    evicted: Option<String>,
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
            looked_at: Instant::now(),
            evicted: None,
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

    /// Ends when the pod has ended and its object is gone or final.
    pub(crate) async fn run(mut self) {
        let mut held = false;
        loop {
            if let Some(fault) = self.broken_machine() {
                // Nothing moves until the machine is back, or gone.
                held = true;
                faults::enforce(&self.shared, &self.namespace, &self.name, fault);
                match self.inbox.recv().await {
                    Some(message) => self.receive(message),
                    None => break,
                }
                continue;
            }
            if std::mem::take(&mut held) {
                // Here, so that it comes after whatever this task has stopped.
                faults::release(&self.shared, &self.namespace, &self.name);
            }
            let wake_at = self.advance().await;
            self.write_status().await;
            if self.is_over() {
                break;
            }
            let until_wake =
                wake_at.map_or(REFRESH, |at| Duration::from_millis(u64::try_from((at - now()).0).unwrap_or(0)));
            let look_at = self.next_look();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.receive(message),
                    None => break,
                },
                () = tokio::time::sleep(until_wake) => {}
                () = async { tokio::time::sleep_until(look_at.unwrap_or_else(Instant::now)).await }, if look_at.is_some() => {
                    self.look_at_limits().await;
                }
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

    /// What is wrong with the pod's machine, unless the pod is gone altogether.
    fn broken_machine(&self) -> Option<NodeFault> {
        if self.gone { None } else { self.shared.node_fault(&self.node_name()) }
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
        if self.evicted.is_some() {
            return true;
        }
        let failed_init = self.containers.iter().any(|state| {
            state.role == Role::Init
                && state.terminated().is_some_and(|end| end.code != 0 && !state.restarts_after(end.code, &self.pod))
        });
        let mut mains = self.containers.iter().filter(|state| state.role == Role::Main);
        failed_init
            || mains.all(|state| state.terminated().is_some_and(|end| !state.restarts_after(end.code, &self.pod)))
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
            Message::Pulled { container, outcome } => self.pulled(&container, outcome),
            // A machine that stands still does not judge its pods.
            Message::Probe { .. } if self.broken_machine().is_some() => {}
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
        if self.evicted.is_some() {
            self.evict();
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
            .all(|state| matches!(source(&self.shared.config, &state.spec), Ok(Source::Host(entry)) if entry.pause));
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
            router.attach(&self.uid, self.ip(), node).await?;
            router.rules_for(self.ip()).await;
            Ok::<(), network::sandbox::RouterError>(())
        };
        attach.await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("Failed to create pod sandbox: {error}{cause}")
        })
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
