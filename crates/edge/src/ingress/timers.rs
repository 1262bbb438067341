//! Time for a thread that only carries requests.
//!
//! A runtime with timers works out at every wake-up when the next of them is due, which costs as much as reading a request's
//! head. The few timers that requests need are those of the control plane's runtime, on a thread of its own.

use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Sleep;

/// The runtime that keeps the time.
#[derive(Clone, Debug)]
pub struct Timers(Handle);

impl Timers {
    pub fn of(runtime: Handle) -> Timers {
        Timers(runtime)
    }

    pub fn sleep(&self, duration: Duration) -> Sleep {
        let _in_that_runtime = self.0.enter();
        tokio::time::sleep(duration)
    }

    /// `None` when the time is up first.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(limit) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_without_timers_uses_those_of_another() {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let control = control.expect("a runtime");
        let timers = Timers::of(control.handle().clone());
        let data = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        data.block_on(async {
            timers.sleep(Duration::from_millis(1)).await;
            assert_eq!(timers.within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
            assert_eq!(timers.within(Duration::from_secs(60), async { 7 }).await, Some(7));
        });
    }
}
