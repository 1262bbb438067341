//! Faults on demand: pods and machines that are killed or stand still.
//!
//! A machine that is off, paused or cut off does what a lost one does: its heartbeats end, nothing of its pods is reported, and the
//! node controller draws its conclusions. A fault lives in this process: a daemon that starts anew lets everything go on.

use std::fmt;
use std::sync::Arc;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::manager::Kubelet;
use crate::process::Process;
use crate::procfs;
use crate::shared::{PodView, Shared};

/// What is wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// Without power: its programs have ended.
    Off,
    /// Its programs stand still.
    Paused,
    /// Its programs go on, and nobody hears of them: its subnet is cut off.
    CutOff,
}

/// How a pod, a machine or another part of the cloud is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    Running,
    /// It stands still.
    Paused,
    /// A machine without power; a pod or database of which nothing runs at the moment.
    Off,
    /// A subnet, and the machines in it.
    CutOff,
    /// A disk.
    Full,
    /// A service whose answers come late.
    Slow,
    /// A service that does not do some of what it is asked for.
    Failing,
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Condition::Running => "running",
            Condition::Paused => "paused",
            Condition::Off => "off",
            Condition::CutOff => "cut off",
            Condition::Full => "full",
            Condition::Slow => "slow",
            Condition::Failing => "failing",
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the cluster has no running {what}")]
pub struct NoSuchTarget {
    what: String,
}

impl Kubelet {
    /// Ends the first process of every container of the pod with SIGKILL, as a crash would. Its restart policy decides what
    /// follows.
    ///
    /// # Errors
    /// When the pod is not on one of this cluster's machines.
    pub fn kill_pod(&self, namespace: &str, name: &str) -> Result<(), NoSuchTarget> {
        processes(&self.shared.pod(namespace, name).ok_or_else(|| no_pod(namespace, name))?)
            .for_each(|process| process.signal_main(Signal::KILL));
        Ok(())
    }

    /// Stops every process of the pod where it stands (SIGSTOP). Its probes fail from now on, and do what they are there for.
    ///
    /// # Errors
    /// As [`Kubelet::kill_pod`].
    pub fn pause_pod(&self, namespace: &str, name: &str) -> Result<(), NoSuchTarget> {
        pause(&self.shared.pod(namespace, name).ok_or_else(|| no_pod(namespace, name))?);
        Ok(())
    }

    /// Lets a paused pod go on.
    ///
    /// # Errors
    /// As [`Kubelet::kill_pod`].
    pub fn heal_pod(&self, namespace: &str, name: &str) -> Result<(), NoSuchTarget> {
        resume(&self.shared.pod(namespace, name).ok_or_else(|| no_pod(namespace, name))?);
        Ok(())
    }

    /// Takes a machine's power, or makes it stand still, until it is healed or deleted.
    ///
    /// # Errors
    /// When no such node has booted.
    pub fn break_node(&self, node: &str, fault: NodeFault) -> Result<(), NoSuchTarget> {
        self.check_node(node)?;
        // First, so that a pod's task that is just starting something sees it.
        self.shared.set_node_fault(node, Some(fault));
        for pod in self.pods_of(node) {
            strike(&pod, fault);
            self.workers.wake(&pod.uid);
        }
        Ok(())
    }

    /// Gives a machine its power back, or lets it go on: it reports again, and its pods start as after a reboot.
    ///
    /// # Errors
    /// As [`Kubelet::break_node`].
    pub async fn heal_node(&self, node: &str) -> Result<(), NoSuchTarget> {
        self.check_node(node)?;
        if self.shared.set_node_fault(node, None).is_some() {
            self.pods_of(node).iter().for_each(resume);
            self.workers.sync(&self.shared);
            self.pods_of(node).iter().for_each(|pod| self.workers.wake(&pod.uid));
            self.machines.beat(node).await;
        }
        Ok(())
    }

    /// Every machine that has booted, by name, with its address.
    pub fn node_addresses(&self) -> Vec<(String, std::net::Ipv4Addr)> {
        let names = self.shared.node_names().into_iter();
        names.filter_map(|node| Some((node.clone(), self.shared.node_ip(&node).parse().ok()?))).collect()
    }

    /// Every machine that has booted, by name.
    pub fn node_conditions(&self) -> Vec<(String, Condition)> {
        let condition = |node: &str| match self.shared.node_fault(node) {
            None => Condition::Running,
            Some(NodeFault::Off) => Condition::Off,
            Some(NodeFault::Paused) => Condition::Paused,
            Some(NodeFault::CutOff) => Condition::CutOff,
        };
        self.shared.node_names().into_iter().map(|node| (node.clone(), condition(&node))).collect()
    }

    /// Every pod with programs of its own, by namespace and name.
    pub fn pod_conditions(&self) -> Vec<((String, String), Condition)> {
        let mut found = Vec::new();
        for pod in self.shared.pods() {
            if pod.containers.iter().all(|container| container.process.is_none()) {
                continue;
            }
            let condition = if !processes(&pod).any(|process| process.is_running()) {
                Condition::Off
            } else if processes(&pod).any(Process::is_paused) {
                Condition::Paused
            } else {
                Condition::Running
            };
            found.push(((pod.namespace, pod.name), condition));
        }
        found
    }

    fn check_node(&self, node: &str) -> Result<(), NoSuchTarget> {
        if self.shared.has_node(node) { Ok(()) } else { Err(NoSuchTarget { what: format!("node {node}") }) }
    }

    fn pods_of(&self, node: &str) -> Vec<PodView> {
        self.shared.pods().into_iter().filter(|pod| pod.node == node).collect()
    }
}

/// Puts the pod into the state of its machine; for a task that finds itself on a broken one.
pub(crate) fn enforce(shared: &Arc<Shared>, namespace: &str, name: &str, fault: NodeFault) {
    if let Some(pod) = shared.pod(namespace, name) {
        strike(&pod, fault);
    }
}

/// Lets the pod go on; for a task that finds its machine whole again.
pub(crate) fn release(shared: &Arc<Shared>, namespace: &str, name: &str) {
    if let Some(pod) = shared.pod(namespace, name) {
        resume(&pod);
    }
}

fn strike(pod: &PodView, fault: NodeFault) {
    match fault {
        NodeFault::Off => processes(pod).for_each(|process| process.signal_main(Signal::KILL)),
        NodeFault::Paused => pause(pod),
        NodeFault::CutOff => {}
    }
}

fn pause(pod: &PodView) {
    // Twice: what a process had just forked at the first look is there at the second.
    for _ in 0..2 {
        let all = procfs::all();
        processes(pod).for_each(|process| process.signal_members(&all, Signal::STOP));
    }
}

fn resume(pod: &PodView) {
    let all = procfs::all();
    processes(pod).for_each(|process| process.signal_members(&all, Signal::CONT));
}

fn processes(pod: &PodView) -> impl Iterator<Item = &Process> {
    pod.containers.iter().filter_map(|container| container.process.as_ref())
}

fn no_pod(namespace: &str, name: &str) -> NoSuchTarget {
    NoSuchTarget { what: format!("pod {namespace}/{name}") }
}
