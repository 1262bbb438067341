//! The delay before a container that ended is started again.

use units::{Millis, Timestamp};

const FIRST: Millis = Millis::from_secs(10);
const LONGEST: Millis = Millis::from_secs(300);
/// A container that ran for so long starts again from the first delay.
const RESET_AFTER: Millis = Millis::from_secs(600);

/// Upstream's restart back-off (pkg/kubelet/kubelet.go of 1.36: 10 s doubling to 5 min): the first restart is at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    delay: Option<Millis>,
    until: Timestamp,
}

impl Backoff {
    /// A run ended at `now` after it had started at `started`.
    pub(crate) fn ended(&mut self, started: Timestamp, now: Timestamp) {
        self.delay = match self.delay {
            Some(delay) if now - started < RESET_AFTER => {
                self.until = now + delay;
                Some(Millis((delay.0 * 2).min(LONGEST.0)))
            }
            _ => {
                self.until = now;
                Some(FIRST)
            }
        };
    }

    /// When the next run may start.
    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }

    /// Continues after a restart of the daemon, which remembers only how often the container was started.
    pub(crate) fn resumed(restarts: i32, ended: Timestamp) -> Backoff {
        let mut backoff = Backoff::default();
        for _ in 0..=restarts.min(8) {
            backoff.ended(ended, ended);
        }
        backoff
    }

    pub(crate) fn seconds_text(&self, now: Timestamp) -> String {
        let seconds = ((self.until - now).0.max(0) + 999) / 1000;
        match (seconds / 60, seconds % 60) {
            (0, seconds) => format!("{seconds}s"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        }
    }
}

/// Upstream's back-off of pulls (pkg/kubelet/images of 1.36 with the kubelet's 10 s and 5 min): it begins with the first
/// failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PullBackoff {
    delay: Option<Millis>,
    until: Timestamp,
}

impl PullBackoff {
    pub(crate) fn failed(&mut self, now: Timestamp) {
        let delay = self.delay.map_or(FIRST, |delay| Millis((delay.0 * 2).min(LONGEST.0)));
        *self = PullBackoff { delay: Some(delay), until: now + delay };
    }

    /// When the next pull may begin.
    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_are_held_back_from_the_first_failure_on() {
        let (mut backoff, now) = (PullBackoff::default(), Timestamp::from_secs(1_000_000));
        assert!(backoff.until() < now);
        let delays: Vec<i64> = (0..7)
            .map(|_| {
                backoff.failed(now);
                (backoff.until() - now).0 / 1000
            })
            .collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes_and_resets_after_a_long_run() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        let now = Timestamp::from_secs(1_000_000);
        for _ in 0..8 {
            backoff.ended(now, now);
            delays.push((backoff.until() - now).0 / 1000);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.seconds_text(now), "5m0s");
        backoff.ended(now - Millis::from_secs(601), now);
        assert_eq!(backoff.until(), now);
        assert_eq!(Backoff::resumed(2, now).until() - now, Millis::from_secs(20));
    }
}
