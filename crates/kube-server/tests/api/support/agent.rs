//! A node on which every program repeats its input in capitals.

use async_trait::async_trait;
use kube_server::NodeAgent;
use kube_server::node_agent::{
    ContainerRef, Duplex, ExecRequest, ExecSession, LogOptions, NodeAgentError, NodeUsage, PodUsage, Reader, Writer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Shouting;

async fn shout(mut input: tokio::io::DuplexStream, mut output: tokio::io::DuplexStream) {
    let mut text = Vec::new();
    let _ = input.read_to_end(&mut text).await;
    let _ = output.write_all(&text.to_ascii_uppercase()).await;
}

#[async_trait]
impl NodeAgent for Shouting {
    async fn logs(&self, container: &ContainerRef, _: &LogOptions) -> Result<Reader, NodeAgentError> {
        Ok(Box::new(std::io::Cursor::new(format!("log of {}\n", container.container).into_bytes())))
    }

    /// The command on standard error, the shouted input on standard output, and 3 as exit code.
    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, NodeAgentError> {
        let (input, program_input) = tokio::io::duplex(1024);
        let (program_output, output) = tokio::io::duplex(1024);
        let (exited, exit) = tokio::sync::oneshot::channel();
        let stdin: Option<Writer> = if request.stdin { Some(Box::new(input)) } else { None };
        tokio::spawn(async move {
            shout(program_input, program_output).await;
            let _ = exited.send(Ok(3));
        });
        let stderr = std::io::Cursor::new(format!("{}\n", request.command.join(" ")).into_bytes());
        Ok(ExecSession { stdin, stdout: Box::new(output), stderr: Some(Box::new(stderr)), resize: None, exit })
    }

    async fn dial(&self, _: &str, _: &str, port: u16) -> Result<Box<dyn Duplex>, NodeAgentError> {
        if port != 80 {
            return Err(NodeAgentError::BadRequest(format!("connection refused on port {port}")));
        }
        let (near, far) = tokio::io::duplex(1024);
        let (input, output) = tokio::io::split(far);
        tokio::spawn(async move {
            let (mut input, mut output) = (input, output);
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = input.read(&mut buffer).await {
                let _ = output.write_all(&buffer[..count].to_ascii_uppercase()).await;
            }
        });
        Ok(Box::new(near))
    }

    fn pod_usage(&self) -> Vec<PodUsage> {
        Vec::new()
    }

    fn node_usage(&self) -> Vec<NodeUsage> {
        Vec::new()
    }

    fn node_metrics(&self, node: &str, path: &str) -> Option<String> {
        (path == "/metrics/cadvisor").then(|| format!("node {node}\n"))
    }
}
