//! The kubelet of every node of an embedded cluster.
//!
//! This crate exists so that only one place knows how a pod becomes running programs. It speaks to the cluster through
//! `kube_server::Client` alone, and its containers are children of shims that outlive it.
//!
//! In the sandbox pods are OCI containers in network namespaces of their own ([`container`]); without isolation they are
//! processes of one user on loopback addresses. [`unenforced`] lists what is then only recorded.

mod agent;
pub mod cgroup;
mod clock;
pub mod config;
mod container;
mod exec;
pub mod faults;
pub mod images;
mod log_writer;
mod logs;
mod manager;
mod metrics_text;
pub mod node;
mod pod;
pub mod process;
mod procfs;
mod shared;
pub mod shim;
mod signals;
mod usage;

pub use cgroup::Cgroups;
pub use config::{Boot, Config, TokenRequest, TokenSource};
pub use manager::{Kubelet, recorded_processes, stop_recorded_containers};

/// vCPUs of the full platform: one system, three frontend and five backend nodes of two vCPUs each.
const PLATFORM_VCPUS: f64 = 18.0;

/// The default number of virtual vCPUs for each core of this host: what carries the full platform.
pub fn default_vcpu_scale() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    (PLATFORM_VCPUS / cores as f64).max(1.0)
}

/// What manifests ask for and this cloud does not enforce, a sentence each; for `marea status`. `limits` is how limits are
/// enforced, or why they are not.
pub fn unenforced(sandbox: bool, limits: &Result<Cgroups, String>) -> Vec<String> {
    let mut sentences: Vec<String> = match limits {
        Ok(limits) if limits.enforces_cpu() => Vec::new(),
        Ok(_) => vec!["CPU limits: usage is reported up to the limit, nothing is throttled (a cloud that is started with --realistic throttles)".to_owned()],
        Err(reason) => vec![format!("CPU and memory limits: usage is reported up to the CPU limit, nothing is throttled or killed for memory, because {reason}")],
    };
    let others: &[&str] = if sandbox {
        &["fsGroup: every file of a pod belongs to the one user that it runs as"]
    } else {
        &[
            "runAsUser, runAsGroup, fsGroup, capabilities, seccomp: every pod runs as the user of the cloud",
            "readOnlyRootFilesystem, mount paths: pods see the host's files; the image catalogue translates paths",
            "network policies and security groups: every loopback address reaches every other",
        ]
    };
    sentences.extend(others.iter().map(|sentence| (*sentence).to_owned()));
    sentences
}
