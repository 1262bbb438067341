//! The conditions of a healthy node (pkg/kubelet/nodestatus of Kubernetes 1.36).

use serde_json::{Value, json};
use units::Timestamp;

/// `since` is when the node registered, `now` the time of this report.
pub(crate) fn healthy(since: Timestamp, now: Timestamp) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now.rfc3339(), "lastTransitionTime": since.rfc3339(),
        })
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("NetworkUnavailable", "False", "CiliumIsUp", "Cilium is running on this node"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}
