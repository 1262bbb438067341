//! Faults on demand: what `marea local fault` asks of a running cloud.

mod services;

use std::fmt;
use std::str::FromStr;

use kubelet::faults::{Condition, NodeFault};
use kubelet::process::{family, is_stopped, signal_all};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::control::{self, Command};
use crate::folder::{Folder, FolderError};
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Ends it at once, as SIGKILL or a pulled plug does.
    Kill,
    /// Lets it stand still.
    Pause,
    /// Lets nothing in or out.
    Cut,
    /// Leaves no room on it.
    Fill,
    /// Lets every answer come so many milliseconds later.
    Slow(u32),
    /// Lets so many of a hundred requests fail.
    Fail(u8),
    /// Ends the fault.
    Heal,
}

/// What a fault is done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The process that is Azure Resource Manager, the Kubernetes API, its controllers and the kubelets.
    Cloud,
    Database(String),
    Node(String),
    Pod {
        namespace: String,
        name: String,
    },
    /// A virtual network's, in the sandbox.
    Subnet {
        network: String,
        name: String,
    },
    /// Azure Resource Manager, for its clients.
    Arm,
    /// What Azure Resource Manager and the Kubernetes API write to.
    Disk,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cloud => formatter.write_str("cloud"),
            Target::Database(name) if name.is_empty() => formatter.write_str("database"),
            Target::Database(name) => write!(formatter, "database/{name}"),
            Target::Node(name) => write!(formatter, "node/{name}"),
            Target::Pod { namespace, name } => write!(formatter, "pod/{namespace}/{name}"),
            Target::Subnet { network, name } => write!(formatter, "subnet/{network}/{name}"),
            Target::Arm => formatter.write_str("arm"),
            Target::Disk => formatter.write_str("disk"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// `database` alone is the only one there is; which one that is the cloud knows.
    fn from_str(text: &str) -> Result<Target, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["cloud"] => Ok(Target::Cloud),
            ["database"] => Ok(Target::Database(String::new())),
            ["database", name] if !name.is_empty() => Ok(Target::Database((*name).to_owned())),
            ["node", name] if !name.is_empty() => Ok(Target::Node((*name).to_owned())),
            ["pod", namespace, name] if !namespace.is_empty() && !name.is_empty() => {
                Ok(Target::Pod { namespace: (*namespace).to_owned(), name: (*name).to_owned() })
            }
            ["subnet", network, name] if !network.is_empty() && !name.is_empty() => {
                Ok(Target::Subnet { network: (*network).to_owned(), name: (*name).to_owned() })
            }
            ["arm"] => Ok(Target::Arm),
            ["disk"] => Ok(Target::Disk),
            _ => Err(format!(
                "`{text}` names nothing that can fail: write cloud, database, node/NAME, pod/NAMESPACE/NAME, subnet/NETWORK/NAME, arm or disk"
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub action: Action,
    pub target: Target,
}

impl Fault {
    /// What is asked for in vain, in words.
    fn problem(&self) -> Option<String> {
        let verbs = match &self.target {
            Target::Subnet { .. } => "cut off",
            Target::Arm => "slow or failing",
            Target::Disk => "full",
            _ => "killed or paused",
        };
        let fits = match (&self.action, &self.target) {
            (Action::Heal, _) => true,
            (Action::Cut, target) => matches!(target, Target::Subnet { .. }),
            (Action::Slow(_) | Action::Fail(_), target) => *target == Target::Arm,
            (Action::Fill, target) => *target == Target::Disk,
            (Action::Kill | Action::Pause, target) => {
                !matches!(target, Target::Subnet { .. } | Target::Arm | Target::Disk)
            }
        };
        (!fits).then(|| format!("{} can be {verbs}, and nothing else", self.target))
    }
}

/// Something that can fail, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub target: Target,
    pub state: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Done(Target),
    Unknown,
    /// `database` where there are several.
    Ambiguous,
}

#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("no local cloud runs in {0}")]
    NotRunning(String),
    #[error("the local cloud is paused")]
    Paused,
    #[error("the local cloud does not answer")]
    NoAnswer,
    #[error("{0}")]
    Impossible(String),
    #[error("there is no {target}")]
    Unknown { target: Target, known: Vec<Described> },
    #[error("there are several databases")]
    Ambiguous { known: Vec<Described> },
}

/// Everything in the running cloud that can fail.
///
/// # Errors
/// When no cloud runs or it does not answer.
pub async fn list(folder: &Folder) -> Result<Vec<Described>, FaultError> {
    let pid = process_of(folder)?;
    let is_paused = is_stopped(pid);
    let cloud =
        Described { target: Target::Cloud, state: if is_paused { Condition::Paused } else { Condition::Running } };
    if is_paused {
        // It cannot be asked about the rest.
        return Ok(vec![cloud]);
    }
    let answer = control::call(&folder.control_socket(), Command::Faults).await.ok_or(FaultError::NoAnswer)?;
    let rest: Vec<Described> = serde_json::from_value(answer).map_err(|_| FaultError::NoAnswer)?;
    Ok(std::iter::once(cloud).chain(rest).collect())
}

/// Does it, and returns what it was done to.
///
/// # Errors
/// When no cloud runs, it does not answer, or there is no such target; nothing was changed then.
pub async fn apply(folder: &Folder, fault: Fault) -> Result<Target, FaultError> {
    if let Some(problem) = fault.problem() {
        return Err(FaultError::Impossible(problem));
    }
    let pid = process_of(folder)?;
    if fault.target == Target::Cloud {
        let signal = match fault.action {
            Action::Kill => Signal::KILL,
            Action::Pause => Signal::STOP,
            _ => Signal::CONT,
        };
        signal_all([pid], signal);
        return Ok(Target::Cloud);
    }
    if is_stopped(pid) {
        return Err(FaultError::Paused);
    }
    let target = fault.target.clone();
    let answer = control::call(&folder.control_socket(), Command::Fault(fault)).await.ok_or(FaultError::NoAnswer)?;
    match serde_json::from_value(answer).map_err(|_| FaultError::NoAnswer)? {
        Answer::Done(target) => Ok(target),
        Answer::Unknown => Err(FaultError::Unknown { target, known: list(folder).await? }),
        Answer::Ambiguous => Err(FaultError::Ambiguous { known: list(folder).await? }),
    }
}

/// Ends every fault and returns what was healed.
///
/// # Errors
/// As [`apply`].
pub async fn heal_all(folder: &Folder) -> Result<Vec<Target>, FaultError> {
    let mut healed = Vec::new();
    // The cloud first: a paused one could not say what else is.
    for _ in 0..2 {
        for described in list(folder).await? {
            let is_broken = match described.target {
                // What merely does not run at the moment starts again by itself.
                Target::Pod { .. } | Target::Database(_) => described.state == Condition::Paused,
                _ => described.state != Condition::Running,
            };
            if is_broken {
                healed.push(apply(folder, Fault { action: Action::Heal, target: described.target }).await?);
            }
        }
        if healed != [Target::Cloud] {
            break;
        }
    }
    Ok(healed)
}

/// The process that serves the folder: the one that holds its lock and has written its connection.
fn process_of(folder: &Folder) -> Result<i32, FaultError> {
    let none = || FaultError::NotRunning(folder.root().display().to_string());
    if !Connection::is_alive(folder)? {
        return Err(none());
    }
    Connection::load(folder)?.and_then(|connection| connection.serving_pid()).ok_or_else(none)
}

impl World {
    pub(crate) async fn conditions(&self) -> Vec<Described> {
        let mut found: Vec<Described> = Vec::new();
        for name in self.databases.known() {
            let state = match self.databases.postmaster(&name) {
                None => Condition::Off,
                Some(pid) if is_stopped(pid) => Condition::Paused,
                Some(_) => Condition::Running,
            };
            found.push(Described { target: Target::Database(name), state });
        }
        for cluster in self.clusters.lock().await.values() {
            let nodes = cluster.kubelet().node_conditions().into_iter();
            found.extend(nodes.map(|(name, condition)| Described { target: Target::Node(name), state: condition }));
            let pods = cluster.kubelet().pod_conditions().into_iter();
            found.extend(pods.map(|((namespace, name), condition)| Described {
                target: Target::Pod { namespace, name },
                state: condition,
            }));
        }
        found.extend(self.service_conditions().await);
        found.sort_by(|one, other| one.target.cmp(&other.target));
        found
    }

    pub(crate) async fn fault(&self, fault: &Fault) -> Answer {
        tracing::warn!(action = ?fault.action, target = %fault.target, "a fault was asked for");
        let done = match &fault.target {
            // A cloud does not do this to itself: it is a signal to its process.
            Target::Cloud => return Answer::Unknown,
            Target::Database(name) => return self.break_database(fault.action, name),
            Target::Node(name) => self.break_node(fault.action, name).await,
            Target::Pod { namespace, name } => self.break_pod(fault.action, namespace, name).await,
            Target::Subnet { network, name } => self.break_subnet(fault.action, network, name).await,
            Target::Arm => self.break_arm(fault.action),
            Target::Disk => self.fill_disk(fault.action == Action::Fill).await,
        };
        if done { Answer::Done(fault.target.clone()) } else { Answer::Unknown }
    }

    fn break_database(&self, action: Action, name: &str) -> Answer {
        let known = self.databases.known();
        let name = match (name, known.as_slice()) {
            ("", [only]) => only.clone(),
            ("", []) => return Answer::Unknown,
            ("", _) => return Answer::Ambiguous,
            (name, known) if known.iter().any(|known| known == name) => name.to_owned(),
            _ => return Answer::Unknown,
        };
        let Some(pid) = self.databases.postmaster(&name) else { return Answer::Unknown };
        match action {
            // The sessions notice that their postmaster is gone, and end.
            Action::Kill => signal_all([pid], Signal::KILL),
            // The postmaster first, so that it starts nothing new meanwhile.
            Action::Pause => signal_all(family(pid), Signal::STOP),
            _ => signal_all(family(pid), Signal::CONT),
        }
        Answer::Done(Target::Database(name))
    }

    async fn break_node(&self, action: Action, name: &str) -> bool {
        for cluster in self.clusters.lock().await.values() {
            let kubelet = cluster.kubelet();
            let done = match action {
                Action::Kill => kubelet.break_node(name, NodeFault::Off),
                Action::Pause => kubelet.break_node(name, NodeFault::Paused),
                _ => kubelet.heal_node(name).await,
            };
            if done.is_ok() {
                return true;
            }
        }
        false
    }

    async fn break_pod(&self, action: Action, namespace: &str, name: &str) -> bool {
        self.clusters.lock().await.values().any(|cluster| {
            let kubelet = cluster.kubelet();
            let done = match action {
                Action::Kill => kubelet.kill_pod(namespace, name),
                Action::Pause => kubelet.pause_pod(namespace, name),
                _ => kubelet.heal_pod(namespace, name),
            };
            done.is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_printed_and_nothing_else_is() {
        let check = |text: &str, expected: Option<Target>| {
            let read = text.parse::<Target>();
            assert_eq!(read.clone().ok(), expected, "{text}");
            match read {
                Ok(target) => assert!(target.to_string().starts_with(text)),
                Err(error) => assert!(error.contains("pod/NAMESPACE/NAME"), "{error}"),
            }
        };
        let owned = str::to_owned;
        check("cloud", Some(Target::Cloud));
        check("database", Some(Target::Database(String::new())));
        check("database/marea-db", Some(Target::Database(owned("marea-db"))));
        check("node/aks-backend-0", Some(Target::Node(owned("aks-backend-0"))));
        check("pod/platform/web", Some(Target::Pod { namespace: owned("platform"), name: owned("web") }));
        check("subnet/base/backend", Some(Target::Subnet { network: owned("base"), name: owned("backend") }));
        check("arm", Some(Target::Arm));
        check("disk", Some(Target::Disk));
        for wrong in
            ["", "subnet/base", "disk/x", "pod/web", "pod//web", "node/", "node/a/b", "Cloud", "cloud/x", "database/"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn each_target_fails_in_its_own_ways() {
        let check = |action: Action, target: &str, expected: Option<&str>| {
            let fault = Fault { action, target: target.parse().unwrap() };
            assert_eq!(fault.problem().as_deref(), expected, "{fault:?}");
        };
        check(Action::Kill, "node/one", None);
        check(Action::Pause, "cloud", None);
        check(Action::Cut, "subnet/a/b", None);
        check(Action::Slow(5), "arm", None);
        check(Action::Fill, "disk", None);
        check(Action::Heal, "disk", None);
        check(Action::Kill, "disk", Some("disk can be full, and nothing else"));
        check(Action::Cut, "node/one", Some("node/one can be killed or paused, and nothing else"));
        check(Action::Fail(5), "subnet/a/b", Some("subnet/a/b can be cut off, and nothing else"));
        check(Action::Fill, "arm", Some("arm can be slow or failing, and nothing else"));
    }
}
