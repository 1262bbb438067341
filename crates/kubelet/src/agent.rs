//! What the API server asks about nodes and their containers.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use async_trait::async_trait;
use kube_server::node_agent::{
    ContainerRef, Duplex, ExecRequest, ExecSession, LogOptions, NodeAgent, NodeAgentError, NodeUsage, PodUsage, Reader,
};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::shared::{ContainerView, PodView, Shared};
use crate::usage::Sampler;
use crate::{exec, logs, metrics_text};

pub(crate) struct Agent {
    pub shared: Arc<Shared>,
    pub sampler: Arc<Sampler>,
}

impl Agent {
    fn find(&self, reference: &ContainerRef) -> Result<(PodView, ContainerView), NodeAgentError> {
        let missing =
            || NodeAgentError::NotFound(format!("{}/{}/{}", reference.namespace, reference.pod, reference.container));
        let pod = self.shared.pod(&reference.namespace, &reference.pod).ok_or_else(missing)?;
        self.check_machine(&pod.node)?;
        let container = pod
            .containers
            .iter()
            .find(|container| container.name == reference.container)
            .cloned()
            .ok_or_else(missing)?;
        Ok((pod, container))
    }

    fn check_machine(&self, node: &str) -> Result<(), NodeAgentError> {
        let lost = || NodeAgentError::Io {
            context: format!("node {node} cannot be reached"),
            source: io::Error::new(io::ErrorKind::TimedOut, "a fault holds it; `marea local fault heal` ends it"),
        };
        self.shared.node_fault(node).map_or(Ok(()), |_| Err(lost()))
    }

    /// As upstream's port-forward: to the pod's own loopback interface, or to its address when nothing listens there.
    async fn connect(&self, uid: &str, ip: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
        let address = SocketAddrV4::new(ip, port);
        match self.shared.config.dialer.router() {
            None => TcpStream::connect(address).await,
            Some(router) => match router.connect_inside(uid, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    router.connect_inside(uid, address).await
                }
                outcome => outcome,
            },
        }
    }

    fn process(&self, reference: &ContainerRef) -> Result<Process, NodeAgentError> {
        let (_, container) = self.find(reference)?;
        let held = container.running && container.process.is_none();
        container.process.filter(Process::is_running).ok_or_else(|| {
            NodeAgentError::BadRequest(if held {
                format!(
                    "container {} only holds its place in the embedded cloud; nothing runs in it",
                    reference.container
                )
            } else {
                format!("container {} is not running", reference.container)
            })
        })
    }
}

#[async_trait]
impl NodeAgent for Agent {
    async fn logs(&self, reference: &ContainerRef, options: &LogOptions) -> Result<Reader, NodeAgentError> {
        let (pod, container) = self.find(reference)?;
        let attempt = if options.previous { container.restarts - 1 } else { container.restarts };
        let run = self
            .shared
            .config
            .data_dir
            .join("pods")
            .join(&pod.uid)
            .join("containers")
            .join(&container.name)
            .join(attempt.to_string());
        if options.previous && !run.join("log").exists() {
            let message = format!("previous terminated container {:?} in pod {:?} not found", container.name, pod.name);
            return Err(NodeAgentError::BadRequest(message));
        }
        Ok(logs::open(run, container.process, options.clone()))
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, NodeAgentError> {
        let process = self.process(&request.container)?;
        exec::start(&self.shared.config.shim, &process, &request).await
    }

    async fn dial(&self, namespace: &str, pod: &str, port: u16) -> Result<Box<dyn Duplex>, NodeAgentError> {
        let view =
            self.shared.pod(namespace, pod).ok_or_else(|| NodeAgentError::NotFound(format!("{namespace}/{pod}")))?;
        self.check_machine(&view.node)?;
        let ip = view.ip.ok_or_else(|| NodeAgentError::BadRequest(format!("pod {pod} has no address yet")))?;
        let stream = self.connect(&view.uid, ip, port).await.map_err(|source| NodeAgentError::Io {
            context: format!("cannot connect to port {port} of pod {pod}"),
            source,
        })?;
        Ok(Box::new(stream))
    }

    fn pod_usage(&self) -> Vec<PodUsage> {
        self.sampler.pods()
    }

    fn node_usage(&self) -> Vec<NodeUsage> {
        self.sampler.nodes(&self.shared)
    }

    fn node_metrics(&self, node: &str, path: &str) -> Option<String> {
        if !self.shared.has_node(node) || self.shared.node_fault(node).is_some() {
            return None;
        }
        match path.trim_start_matches('/') {
            "metrics/cadvisor" => Some(metrics_text::cadvisor(node, &self.sampler.samples())),
            "metrics/resource" => Some(metrics_text::resource(node, &self.sampler.samples())),
            _ => None,
        }
    }
}
