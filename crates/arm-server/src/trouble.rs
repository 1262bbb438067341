//! A service that is slow or fails, for whoever tries how clients bear it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arm_engine::{Fault, Response};
use parking_lot::Mutex;

/// What requests meet before anything is done for them. Signing in stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Every answer comes so much later.
    pub delay: Duration,
    /// Of a hundred requests, spread evenly, so many are answered 503.
    pub failing_percent: u8,
}

#[derive(Default)]
pub(crate) struct Switch {
    trouble: Mutex<Trouble>,
    /// Requests since the last change.
    asked: AtomicU64,
}

impl Switch {
    pub fn set(&self, trouble: Trouble) {
        *self.trouble.lock() = trouble;
        self.asked.store(0, Ordering::Relaxed);
    }

    pub fn now(&self) -> Trouble {
        *self.trouble.lock()
    }

    /// The answer of a request that fails.
    pub async fn meet(&self) -> Option<Response> {
        let Trouble { delay, failing_percent } = self.now();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let before = self.asked.fetch_add(1, Ordering::Relaxed);
        fails(before, failing_percent).then(|| {
            let fault =
                Fault::new(503, "ServiceUnavailable", "The service is temporarily unavailable. Please try again.");
            Response::from(fault).header("Retry-After", "1")
        })
    }
}

/// As evenly as whole requests can be.
fn fails(before: u64, percent: u8) -> bool {
    let count = |requests: u64| requests * u64::from(percent.min(100)) / 100;
    count(before + 1) > count(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_hundred_fail_and_never_all_at_once() {
        for percent in [0, 1, 30, 50, 99, 100] {
            let failed = (0..100).filter(|before| fails(*before, percent)).count();
            assert_eq!(failed, usize::from(percent));
        }
        let half: Vec<bool> = (0..4).map(|before| fails(before, 50)).collect();
        assert_eq!(half, [false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_later_until_the_trouble_is_over() {
        let switch = Switch::default();
        switch.set(Trouble { delay: Duration::from_secs(3), failing_percent: 100 });
        let started = tokio::time::Instant::now();
        assert_eq!(switch.meet().await.map(|answer| answer.status), Some(503));
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        switch.set(Trouble::default());
        assert!(switch.meet().await.is_none());
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }
}
