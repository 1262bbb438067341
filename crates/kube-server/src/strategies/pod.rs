//! Pods.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, quantities};
use crate::api::Transaction;
use crate::client::DeleteOptions;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;

pub struct Pod;
pub static POD: Pod = Pod;

const IMMUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Guaranteed, Burstable or BestEffort (upstream: `pkg/apis/core/v1/helper/qos/qos.go`).
fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for list in ["/initContainers", "/containers"] {
        for container in json::items(spec, list) {
            let resources = &container["resources"];
            for name in ["cpu", "memory"] {
                let positive = |part: &str| quantities::parse(&resources[part][name]).filter(|q| q.millis() > 0);
                let (request, limit) = (positive("requests"), positive("limits"));
                any |= request.is_some() || limit.is_some();
                guaranteed &= limit.is_some() && request.is_some_and(|r| Some(r.millis()) == limit.map(|l| l.millis()));
            }
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

impl Strategy for Pod {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        pod_spec::default(spec);
        json::default(spec, "enableServiceLinks", true);
        pod_spec::default_requests(spec);
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending", "qosClass": qos_class(&object["spec"])});
    }

    fn prepare_create(&self, _tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        self.reset_status(object);
        Ok(())
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        pod_spec::validate(&object["spec"], "spec", errors);
        if !json::items(object, "/spec/ephemeralContainers").is_empty() {
            errors.forbidden("spec.ephemeralContainers", "ephemeral containers are not run by this server");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        let kept =
            json::items(old, "/spec/tolerations").iter().all(|t| json::items(object, "/spec/tolerations").contains(t));
        if !kept {
            errors
                .forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
        }
        if fixed(&object["spec"]) != fixed(&old["spec"]) {
            errors.forbidden("spec", IMMUTABLE);
        }
    }

    /// The kubelet's status updates come without a spec; nothing of the metadata is its to change.
    fn grace_seconds(&self, object: &Value, how: &DeleteOptions) -> i64 {
        let unscheduled = json::text(object, "/spec/nodeName").unwrap_or_default().is_empty();
        let finished = matches!(json::text(object, "/status/phase"), Some("Succeeded" | "Failed"));
        if unscheduled || finished {
            return 0;
        }
        how.grace_period_seconds.or_else(|| json::integer(object, "/spec/terminationGracePeriodSeconds")).unwrap_or(30)
    }
}

/// What of a pod's spec never changes.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
        json::remove(&mut spec, field);
    }
    for list in ["/containers", "/initContainers"] {
        for container in json::items_mut(&mut spec, list) {
            json::remove(container, "image");
        }
    }
    spec
}
