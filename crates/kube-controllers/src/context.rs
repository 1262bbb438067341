//! What every controller is given.

use std::sync::Arc;

use kube_server::Client;

use crate::config::Config;
use crate::events::Events;
use crate::journal::Recorder;

#[derive(Clone)]
pub(crate) struct Context {
    pub client: Client,
    pub events: Events,
    pub config: Arc<Config>,
    pub recorder: Arc<Recorder>,
}
