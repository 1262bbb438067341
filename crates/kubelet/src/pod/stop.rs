//! Ends one container: preStop hook, stop signal, grace period, SIGKILL (pkg/kubelet/kuberuntime of Kubernetes 1.36).

use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use rustix::process::Signal;
use tokio::time::Instant;

use super::hooks::{self, Reach};
use crate::process::Process;

/// After a hook that used up the grace period the container still gets this long, as upstream grants.
const MINIMUM_AFTER_HOOK: Duration = Duration::from_secs(2);

/// Returns when the container has ended; a hook's failure comes back as text for an event.
pub(crate) async fn stop(
    process: Process,
    container: Container,
    signal: Signal,
    grace: Duration,
    reach: Reach,
) -> Result<(), String> {
    let deadline = Instant::now() + grace;
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let mut outcome = Ok(());
    if let Some(hook) = hook.filter(|_| !grace.is_zero()) {
        let spec = process.spec();
        tokio::select! {
            result = hooks::run(hook, &container, spec.as_ref(), &reach) => outcome = result,
            () = tokio::time::sleep_until(deadline) => outcome = Err("the hook took longer than the grace period".into()),
            // The program ended by itself; there is nothing to wait for.
            _ = process.wait() => return Ok(()),
        }
    }
    if !grace.is_zero() {
        process.signal(signal);
        let deadline = if hook.is_some() { deadline.max(Instant::now() + MINIMUM_AFTER_HOOK) } else { deadline };
        if tokio::time::timeout_at(deadline, process.wait()).await.is_ok() {
            return outcome;
        }
    }
    process.signal(Signal::KILL);
    process.wait().await;
    outcome
}
