//! A node agent that only knows usage, which tests set.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube_server::node_agent::{
    ContainerRef, ContainerUsage, Duplex, ExecRequest, ExecSession, LogOptions, NodeAgentError, NodeUsage, PodUsage,
    Reader,
};
use kube_server::{Client, NodeAgent};
use parking_lot::Mutex;
use units::{Bytes, Millicores, Millis, Timestamp};

use crate::harness::{is_ready, now};

#[derive(Default)]
pub struct FakeAgent {
    client: Mutex<Option<Client>>,
    /// Shared by all ready pods, in millicores.
    total_cpu: Mutex<i64>,
    /// Pods with this label `app` are neither started nor ended.
    held: Mutex<BTreeSet<String>>,
    /// Something was released.
    pub woken: tokio::sync::Notify,
}

impl FakeAgent {
    pub fn connect(&self, client: Client) {
        *self.client.lock() = Some(client);
    }

    pub fn set_total_cpu(&self, millicores: i64) {
        *self.total_cpu.lock() = millicores;
    }

    pub fn hold(&self, app: &str) {
        self.held.lock().insert(app.to_owned());
    }

    pub fn release(&self, app: &str) {
        self.held.lock().remove(app);
        self.woken.notify_one();
    }

    pub fn holds(&self, pod: &Pod) -> bool {
        let app = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app"));
        app.is_some_and(|app| self.held.lock().contains(app))
    }

    fn ready_pods(&self) -> Vec<Arc<Pod>> {
        let client = self.client.lock().clone();
        let mut pods = client.map(|client| client.list::<Pod>(None)).unwrap_or_default();
        pods.retain(|pod| is_ready(pod));
        pods
    }
}

fn refused() -> NodeAgentError {
    NodeAgentError::BadRequest("this agent runs nothing".to_owned())
}

#[async_trait]
impl NodeAgent for FakeAgent {
    async fn logs(&self, _: &ContainerRef, _: &LogOptions) -> Result<Reader, NodeAgentError> {
        Err(refused())
    }

    async fn exec(&self, _: ExecRequest) -> Result<ExecSession, NodeAgentError> {
        Err(refused())
    }

    async fn dial(&self, _: &str, _: &str, _: u16) -> Result<Box<dyn Duplex>, NodeAgentError> {
        Err(refused())
    }

    fn pod_usage(&self) -> Vec<PodUsage> {
        let pods = self.ready_pods();
        let share = *self.total_cpu.lock() / i64::try_from(pods.len().max(1)).unwrap();
        pods.iter()
            .map(|pod| PodUsage {
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
                pod: pod.metadata.name.clone().unwrap_or_default(),
                at: Timestamp::from(now().0),
                window: Millis(1000),
                containers: vec![ContainerUsage {
                    container: "main".into(),
                    cpu: Millicores(share),
                    memory: Bytes(1 << 20),
                }],
            })
            .collect()
    }

    fn node_usage(&self) -> Vec<NodeUsage> {
        Vec::new()
    }

    fn node_metrics(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}
