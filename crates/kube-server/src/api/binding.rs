//! The binding subresource: how a scheduler puts a pod on a node.

use serde_json::json;

use kube_store::store::{ObjectKey, Precondition};

use super::{Api, Caller, WriteOptions, update};
use crate::error::ApiError;
use crate::json;

impl Api {
    /// # Errors
    /// 404 without the pod, 409 when it is bound already, is terminating, or is not the pod with this uid.
    pub async fn bind(
        &self,
        caller: &Caller,
        namespace: &str,
        pod: &str,
        node: &str,
        uid: Option<&str>,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let def = self.registry().stored_by_name("pods").ok_or_else(ApiError::no_such_path)?;
        if node.is_empty() {
            return Err(ApiError::bad_request("target.name: Required value"));
        }
        let done = {
            let mut tx = self.begin(caller, options);
            let old = update::current(&tx, &def, Some(namespace), pod)?;
            let refuse = |why: String| Err(ApiError::conflict("pods/binding", pod, &why));
            if uid.is_some_and(|uid| !uid.is_empty() && uid != json::uid(&old)) {
                return refuse(format!(
                    "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                    uid.unwrap_or_default(),
                    json::uid(&old)
                ));
            }
            if json::is_terminating(&old) {
                return refuse(format!("pod {pod} is being deleted, cannot be assigned to a host"));
            }
            if let Some(bound) = json::text(&old, "/spec/nodeName").filter(|bound| !bound.is_empty()) {
                return refuse(format!("pod {pod} is already assigned to node {bound:?}"));
            }
            let mut new = serde_json::Value::clone(&old);
            json::object(&mut new, "spec")["nodeName"] = json!(node);
            let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": tx.now.truncated().rfc3339(),
                "observedGeneration": json::integer(&old, "/metadata/generation")});
            let status = json::object(&mut new, "status");
            json::default(status, "conditions", json!([]));
            if let Some(conditions) = status["conditions"].as_array_mut() {
                conditions.retain(|c| c["type"] != "PodScheduled");
                conditions.push(scheduled);
            }
            tx.put(ObjectKey::new("pods", Some(namespace), pod), new, Precondition::None)?;
            tx.finish()
        };
        self.settle(done).await
    }
}
