//! What the API server needs from the machines behind it. The kubelet implements it; tests use a small fake.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use units::{Bytes, Millicores, Millis, Timestamp};

/// One container of one pod.
#[derive(Clone, Debug)]
pub struct ContainerRef {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    pub follow: bool,
    /// The log of the container's previous run.
    pub previous: bool,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub since: Option<Timestamp>,
    /// Prefix every line with its RFC 3339 instant.
    pub timestamps: bool,
}

#[derive(Clone, Debug)]
pub struct ExecRequest {
    pub container: ContainerRef,
    pub command: Vec<String>,
    pub stdin: bool,
    pub tty: bool,
}

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Anything that is a byte stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A process started inside a container.
pub struct ExecSession {
    pub stdin: Option<Writer>,
    pub stdout: Reader,
    /// Absent with a terminal, where both streams are one.
    pub stderr: Option<Reader>,
    /// Terminal sizes (columns, rows) go in here.
    pub resize: Option<tokio::sync::mpsc::UnboundedSender<(u16, u16)>>,
    /// The exit code, or why there is none.
    pub exit: tokio::sync::oneshot::Receiver<Result<i32, String>>,
}

/// A usage sample, in virtual vCPUs, averaged over `window` and ending at `at`.
#[derive(Clone, Debug)]
pub struct ContainerUsage {
    pub container: String,
    pub cpu: Millicores,
    pub memory: Bytes,
}

#[derive(Clone, Debug)]
pub struct PodUsage {
    pub namespace: String,
    pub pod: String,
    pub at: Timestamp,
    pub window: Millis,
    pub containers: Vec<ContainerUsage>,
}

#[derive(Clone, Debug)]
pub struct NodeUsage {
    pub node: String,
    pub at: Timestamp,
    pub window: Millis,
    pub cpu: Millicores,
    pub memory: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeAgentError {
    #[error("container {0} not found")]
    NotFound(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{context}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
}

#[async_trait]
pub trait NodeAgent: Send + Sync + 'static {
    async fn logs(&self, container: &ContainerRef, options: &LogOptions) -> Result<Reader, NodeAgentError>;
    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, NodeAgentError>;
    /// Connects to a TCP port of a pod.
    async fn dial(&self, namespace: &str, pod: &str, port: u16) -> Result<Box<dyn Duplex>, NodeAgentError>;
    /// The latest samples; a pod without one is absent, as in metrics-server.
    fn pod_usage(&self) -> Vec<PodUsage>;
    fn node_usage(&self) -> Vec<NodeUsage>;
    /// Prometheus text of the kubelet's `/metrics/cadvisor` or `/metrics/resource` of a node.
    fn node_metrics(&self, node: &str, path: &str) -> Option<String>;
}
