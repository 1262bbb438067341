//! The only place where this crate reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use tokio::time::Instant;
use units::{Millis, Timestamp};

pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The monotonic instant at which a wait of `delay` ends.
pub(crate) fn after(delay: Millis) -> Instant {
    monotonic() + duration(delay)
}

pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

pub(crate) async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}

pub(crate) async fn sleep(delay: Millis) {
    tokio::time::sleep(duration(delay)).await;
}

fn duration(span: Millis) -> Duration {
    Duration::from_millis(u64::try_from(span.0).unwrap_or(0))
}

/// As the API keeps it: whole seconds, so that a status built twice compares equal to the one that was stored.
pub(crate) fn kube_time(instant: Timestamp) -> Time {
    Time(instant.truncated().into())
}

pub(crate) fn from_kube(time: &Time) -> Timestamp {
    Timestamp::from(time.0)
}

pub(crate) fn from_micro(time: &MicroTime) -> Timestamp {
    Timestamp::from(time.0)
}
