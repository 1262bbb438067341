//! From serving to draining.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Shared by everything that must know that this replica leaves.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    draining: watch::Sender<bool>,
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle::new()
    }
}

impl Lifecycle {
    pub fn new() -> Lifecycle {
        Lifecycle { draining: watch::Sender::new(false) }
    }

    /// From now on `/ready` says no and answers close their connections, but requests are still served.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns when draining has begun.
    pub async fn drained(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// Begins to drain on SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let lifecycle = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("draining");
            lifecycle.drain();
        });
        Ok(())
    }
}
