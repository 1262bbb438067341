//! One manager for all nodes of a cluster: gives every pod that is bound to one of them a task of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Pod;
use kube_server::{ChangeEvent, ChangeKind, Client, NodeAgent};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::AbortHandle;

use crate::agent::Agent;
use crate::config::Config;
use crate::node::machines::Machines;
use crate::pod::worker::{self, Message, Worker};
use crate::procfs;
use crate::shared::Shared;
use crate::usage::Sampler;

/// The kubelet of every node of one cluster. Dropping it stops its tasks and leaves all containers running; the next one
/// adopts them.
pub struct Kubelet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) machines: Arc<Machines>,
    sampler: Arc<Sampler>,
    tasks: Vec<AbortHandle>,
}

impl Kubelet {
    /// Starts on the current tokio runtime and takes up the machines and pods that an earlier run left.
    ///
    /// # Errors
    /// When the data directory cannot be used.
    pub async fn start(client: Client, config: Config) -> std::io::Result<Kubelet> {
        std::fs::create_dir_all(config.data_dir.join("pods"))?;
        let client = client.with_manager("kubelet");
        let shared = Arc::new(Shared::new(client.clone(), config));
        let workers = Arc::new(Workers::default());
        let machines = Machines::load(Arc::clone(&shared), Arc::clone(&workers))?;
        let sampler = Arc::new(Sampler::default());
        // Subscribed before the first look, so that nothing falls between the two.
        let changes = client.subscribe();
        machines.resume();
        workers.sync(&shared);
        end_strays(&shared);
        let tasks = vec![
            tokio::spawn(watch(Arc::clone(&shared), Arc::clone(&workers), changes)).abort_handle(),
            tokio::spawn(Arc::clone(&machines).heartbeat()).abort_handle(),
            tokio::spawn(Arc::clone(&sampler).run(Arc::clone(&shared))).abort_handle(),
        ];
        Ok(Kubelet { shared, workers, machines, sampler, tasks })
    }

    /// What the API server asks about the nodes.
    pub fn node_agent(&self) -> Arc<dyn NodeAgent> {
        Arc::new(Agent { shared: Arc::clone(&self.shared), sampler: Arc::clone(&self.sampler) })
    }

    pub fn machines(&self) -> &Arc<Machines> {
        &self.machines
    }

    /// Images whose pods only hold their place since an optional program is missing, each with the reason.
    pub fn left_out(&self) -> Vec<(String, String)> {
        self.shared.left_out()
    }

    /// Ends every container at once and returns when all have ended. The pods' objects stay: they start again with the
    /// cloud. For `marea local stop`.
    pub async fn stop_containers(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.workers.abort();
        // The records also know of a container whose start was just being reported.
        stop_recorded_containers(&self.shared.config.data_dir).await;
        let Some(router) = self.shared.config.dialer.router() else { return };
        let pods = std::fs::read_dir(self.shared.config.data_dir.join("pods")).into_iter().flatten().flatten();
        for uid in pods.filter_map(|pod| pod.file_name().into_string().ok()) {
            router.detach(&uid).await;
        }
    }
}

/// Ends every container that the records of a kubelet's data directory know, whether or not its kubelet still runs, and
/// returns when all have ended. Containers outlive a kubelet that was killed.
pub async fn stop_recorded_containers(data_dir: &std::path::Path) {
    let pods = std::fs::read_dir(data_dir.join("pods")).into_iter().flatten().flatten();
    let processes: Vec<_> = pods.flat_map(|pod| glob_processes(&pod.path())).collect();
    let stopping = processes.into_iter().map(|process| async move {
        process.signal(rustix::process::Signal::TERM);
        let patience = std::time::Duration::from_secs(2);
        if tokio::time::timeout(patience, process.wait()).await.is_err() {
            process.signal(rustix::process::Signal::KILL);
            process.wait().await;
        }
    });
    futures::future::join_all(stopping).await;
}

/// The ids of every process that belongs to the containers which the records of a kubelet's data directory know.
pub fn recorded_processes(data_dir: &std::path::Path) -> Vec<i32> {
    let all = procfs::all();
    let pods = std::fs::read_dir(data_dir.join("pods")).into_iter().flatten().flatten();
    let processes = pods.flat_map(|pod| glob_processes(&pod.path()));
    processes.flat_map(|process| process.members(&all)).map(|member| member.pid).collect()
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.workers.abort();
    }
}

/// The pods' tasks by uid.
#[derive(Default)]
pub(crate) struct Workers {
    running: Mutex<BTreeMap<String, (UnboundedSender<Message>, AbortHandle)>>,
    /// No task starts any more. Set and read with `running` locked: a change that is just being looked at would otherwise give
    /// a pod a new task after all were ended.
    ended: AtomicBool,
}

impl Workers {
    /// Tells every pod's task of its present object, and starts the missing ones.
    pub(crate) fn sync(self: &Arc<Self>, shared: &Arc<Shared>) {
        let pods = shared.client.list::<Pod>(None);
        let present: std::collections::BTreeSet<&str> =
            pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let gone: Vec<String> =
            self.running.lock().keys().filter(|uid| !present.contains(uid.as_str())).cloned().collect();
        gone.iter().for_each(|uid| self.send(uid, Message::Gone));
        pods.iter().for_each(|pod| self.changed(shared, pod));
    }

    fn changed(self: &Arc<Self>, shared: &Arc<Shared>, pod: &Arc<Pod>) {
        let Some(uid) = pod.metadata.uid.as_deref() else { return };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if !node.is_some_and(|node| shared.has_node(node)) {
            return;
        }
        let mut running = self.running.lock();
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        if let Some((sender, _)) = running.get(uid)
            && sender.send(Message::Changed(Arc::clone(pod))).is_ok()
        {
            return;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let (sender, inbox) = mpsc::unbounded_channel();
        let worker = Worker::new(Arc::clone(shared), Arc::clone(pod), sender.clone(), inbox);
        let task = tokio::spawn(worker.run()).abort_handle();
        running.insert(uid.to_owned(), (sender, task));
        running.retain(|_, (_, task)| !task.is_finished());
    }

    fn send(&self, uid: &str, message: Message) {
        if let Some((sender, _)) = self.running.lock().get(uid) {
            // A task that has just ended needs to hear nothing.
            let _ = sender.send(message);
        }
    }

    /// Has the pod's task look at its surroundings again.
    pub(crate) fn wake(&self, uid: &str) {
        self.send(uid, Message::Refresh);
    }

    /// The machine is gone and everything on it.
    pub(crate) fn node_gone(&self, shared: &Shared, node: &str) {
        for pod in shared.pods().iter().filter(|pod| pod.node == node) {
            self.send(&pod.uid, Message::Gone);
        }
    }

    fn refresh(&self, shared: &Shared, namespace: Option<&str>) {
        for pod in shared.pods() {
            if namespace.is_some_and(|namespace| namespace != pod.namespace) {
                continue;
            }
            let depends = shared
                .client
                .get::<Pod>(Some(&pod.namespace), &pod.name)
                .is_some_and(|pod| worker::depends_on_configuration(&pod));
            if depends {
                self.send(&pod.uid, Message::Refresh);
            }
        }
    }

    fn abort(&self) {
        let running = self.running.lock();
        self.ended.store(true, Ordering::Relaxed);
        running.values().for_each(|(_, task)| task.abort());
    }
}

async fn watch(shared: Arc<Shared>, workers: Arc<Workers>, mut changes: tokio::sync::broadcast::Receiver<ChangeEvent>) {
    loop {
        match changes.recv().await {
            Ok(change) => react(&shared, &workers, &change),
            Err(RecvError::Lagged(_)) => {
                workers.sync(&shared);
                workers.refresh(&shared, None);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn react(shared: &Arc<Shared>, workers: &Arc<Workers>, change: &ChangeEvent) {
    match &*change.resource {
        "pods" if change.kind == ChangeKind::Deleted => {
            if let Some(uid) = change.object["metadata"]["uid"].as_str() {
                workers.send(uid, Message::Gone);
            }
        }
        "pods" => {
            if let Some(pod) = shared.client.get::<Pod>(change.namespace.as_deref(), &change.name) {
                workers.changed(shared, &pod);
            }
        }
        "configmaps" | "secrets" => workers.refresh(shared, change.namespace.as_deref()),
        _ => {}
    }
}

/// Ends containers of pods that were deleted while the daemon was dead.
fn end_strays(shared: &Arc<Shared>) {
    let known: Vec<String> = shared
        .client
        .list::<Pod>(None)
        .iter()
        .filter(|pod| {
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| shared.has_node(node))
        })
        .filter_map(|pod| pod.metadata.uid.clone())
        .collect();
    let Ok(entries) = std::fs::read_dir(shared.config.data_dir.join("pods")) else { return };
    for entry in entries
        .flatten()
        .filter(|entry| !entry.file_name().to_str().is_some_and(|uid| known.iter().any(|known| known == uid)))
    {
        let root = entry.path();
        let processes: Vec<_> = glob_processes(&root);
        let router = shared.config.dialer.router().cloned();
        tokio::spawn(async move {
            for process in &processes {
                process.signal(rustix::process::Signal::KILL);
                process.wait().await;
            }
            if let (Some(router), Some(uid)) = (router, root.file_name().and_then(std::ffi::OsStr::to_str)) {
                router.detach(uid).await;
            }
            if let Err(error) = std::fs::remove_dir_all(&root) {
                tracing::warn!(directory = %root.display(), %error, "cannot remove the directory of a pod that is gone");
            }
        });
    }
}

/// `containers/<name>/<attempt>` of a pod's directory.
fn glob_processes(root: &std::path::Path) -> Vec<crate::process::Process> {
    let list = |path: &std::path::Path| {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let attempts = list(&root.join("containers")).into_iter().flat_map(|container| list(&container));
    attempts
        .filter_map(|attempt| crate::process::Process::take_over(&attempt))
        .filter(crate::process::Process::is_running)
        .collect()
}
