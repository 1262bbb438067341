//! The controllers of a cluster: they watch, ask `decide` where there is something to decide, and act.
//!
//! This crate exists so that deciding and acting stay apart: it owns the loops, the writes and the flight recorder, and
//! takes no decision for which `decide` has a function.

mod claim;
mod clock;
mod config;
mod context;
mod controllers;
mod error;
mod events;
mod hash;
mod journal;
mod node_groups;
mod nodes;
mod objects;
mod pods;
mod queue;
mod ranking;
mod replay;
mod revisions;
mod runtime;
mod selector;
mod surroundings;

use std::path::PathBuf;
use std::sync::Arc;

use decide::nodes::Profile;
use kube_server::{Client, DecisionSource};
use parking_lot::Mutex;
use tokio::sync::watch;

pub use config::{Config, NodeLifecycle};
pub use journal::JournalError;
pub use node_groups::{Instance, InstanceState, NodeGroup, NodeGroupError, NodeGroups};
pub use replay::{Difference, ReplayError, ReplaySummary, replay};

use context::Context;
use events::Events;
use journal::Recorder;

/// The running controllers of one cluster. Dropping it stops them.
pub struct Controllers {
    recorder: Arc<Recorder>,
    profile: Arc<Mutex<Profile>>,
    stop: watch::Sender<bool>,
}

/// Starts every controller, the scheduler and the autoscalers of a cluster on the current tokio runtime.
///
/// `journal_dir` holds the flight recorder's files and is created where it is missing.
pub fn start(client: Client, config: Config, node_groups: Arc<dyn NodeGroups>, journal_dir: PathBuf) -> Controllers {
    let recorder = Arc::new(Recorder::open(&journal_dir, config.journal_bytes, config.journal_ring));
    let client = client.with_manager("kube-controller-manager");
    let resync = config.resync.max(MIN_RESYNC);
    let profile = Arc::new(Mutex::new(config.autoscaler.clone()));
    let (stop, stopped) = watch::channel(false);
    let context = Context {
        events: Events::start(client.clone()),
        client,
        config: Arc::new(config),
        recorder: recorder.clone(),
        node_groups,
        profile: profile.clone(),
        stopped: stopped.clone(),
    };
    runtime::run(&context.client, controllers::all(&context), resync, &stopped);
    Controllers { recorder, profile, stop }
}

/// Looking at everything more often would make an idle cloud busy.
const MIN_RESYNC: units::Millis = units::Millis::from_secs(30);

impl Controllers {
    /// The newest decisions, as `explain.marea.dev` serves them.
    pub fn decision_source(&self) -> Arc<dyn DecisionSource> {
        self.recorder.clone()
    }

    /// Replaces the cluster autoscaler's settings; they count from its next loop on.
    pub fn set_autoscaler_profile(&self, profile: Profile) {
        *self.profile.lock() = profile;
    }

    /// Stops all loops; what is being written at this moment may or may not happen.
    pub fn shutdown(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.shutdown();
    }
}
