//! The namespaces that make a cloud's network real: one user, mount and network namespace, held by a small process.
//!
//! The holder outlives the daemon, so that a daemon that was killed finds its network and its pods as they were. The daemon
//! itself joins the user and the mount namespace and keeps the host's network: its sockets on 127.0.0.1 are the host's, and
//! those towards pods are made by a thread inside ([`Router`]). Nothing here needs root.

mod enter;
mod holder;
mod router;
mod thread;

pub use enter::{Entered, SandboxError, dismiss, enter};
pub use holder::hold;
pub use router::{Router, RouterError};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything below the sandbox's own folder.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    pub(crate) fn new(root: &Path) -> Places {
        Places { root: root.to_owned() }
    }

    fn record(&self) -> PathBuf {
        self.root.join("holder.json")
    }

    /// A file system of the mount namespace's own: what is in it cannot be seen from outside and goes with it.
    fn mount(&self) -> PathBuf {
        self.root.join("mount")
    }

    /// Tells this sandbox's processes from those of another whose namespaces got the same numbers later.
    fn mark(&self) -> PathBuf {
        self.mount().join("id")
    }

    /// The host's tree of cgroups, which containers do not see.
    fn cgroups(&self) -> PathBuf {
        self.mount().join("cgroups")
    }

    fn router(&self) -> PathBuf {
        self.mount().join("router")
    }

    fn namespaces(&self) -> PathBuf {
        self.mount().join("namespaces")
    }
}

/// What the holder leaves for the daemons that come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    pid: i32,
    /// As `/proc/<pid>/ns/user` reads: PostgreSQL's processes share the mount namespace but have a user namespace of their own.
    user_namespace: String,
}
