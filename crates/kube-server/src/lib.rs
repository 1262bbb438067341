//! The Kubernetes API over HTTPS and in process, on top of `kube-store`.
pub mod decisions;
pub mod node_agent;
