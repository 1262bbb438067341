//! What every controller is given.

use std::sync::Arc;

use decide::nodes::Profile;
use kube_server::Client;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Config;
use crate::events::Events;
use crate::journal::Recorder;
use crate::node_groups::NodeGroups;

#[derive(Clone)]
pub(crate) struct Context {
    pub client: Client,
    pub events: Events,
    pub config: Arc<Config>,
    pub recorder: Arc<Recorder>,
    pub node_groups: Arc<dyn NodeGroups>,
    /// The autoscaler's settings as last set.
    pub profile: Arc<Mutex<Profile>>,
    /// True once everything shall end; for work that outlives one reconciliation.
    pub stopped: watch::Receiver<bool>,
}
