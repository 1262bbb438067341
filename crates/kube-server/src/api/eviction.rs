//! The eviction subresource: a deletion that disruption budgets may refuse
//! (upstream: `pkg/registry/core/pod/storage/eviction.go`, v1.36.3).

use serde_json::{Value, json};

use kube_store::selector::LabelSelector;
use kube_store::store::{ObjectKey, Precondition};

use super::{Api, Caller, Transaction, WriteOptions, delete, update};
use crate::client::DeleteOptions;
use crate::error::ApiError;
use crate::json;

/// A budget that remembers this many evicted pods has a controller that does not keep up.
const MAX_DISRUPTED_PODS: usize = 2000;
const RETRY_AFTER_SECONDS: u32 = 10;

impl Api {
    /// # Errors
    /// 404 without the pod, 429 when a budget forbids it now, 500 when more than one budget covers the pod.
    pub async fn evict(
        &self,
        caller: &Caller,
        namespace: &str,
        pod: &str,
        how: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let def = self.registry().stored_by_name("pods").ok_or_else(ApiError::no_such_path)?;
        let done = {
            let mut tx = self.begin(caller, options);
            let old = update::current(&tx, &def, Some(namespace), pod)?;
            if !ignores_budgets(&old) {
                spend_budget(&mut tx, namespace, &old)?;
            }
            delete::remove(&mut tx, &def, &old, how)?;
            tx.finish()
        };
        self.settle(done).await
    }
}

/// Pods that do not count as running workload can go at any time.
fn ignores_budgets(pod: &Value) -> bool {
    matches!(json::text(pod, "/status/phase"), Some("Succeeded" | "Failed" | "Pending")) || json::is_terminating(pod)
}

fn is_ready(pod: &Value) -> bool {
    json::items(pod, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn spend_budget(tx: &mut Transaction<'_>, namespace: &str, pod: &Value) -> Result<(), ApiError> {
    let covering: Vec<_> = tx
        .list("poddisruptionbudgets.policy", Some(namespace))
        .into_iter()
        .filter(|budget| {
            LabelSelector::from_value(&budget["spec"]["selector"]).is_ok_and(|selector| selector.matches(pod))
        })
        .collect();
    let budget = match covering.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        _ => {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    if !is_ready(pod) && may_evict_unready(&budget) {
        return Ok(());
    }
    check(&budget)?;
    let mut new = Value::clone(&budget);
    let status = json::object(&mut new, "status");
    let allowed = json::integer(status, "/disruptionsAllowed").unwrap_or(0);
    status["disruptionsAllowed"] = json!(allowed - 1);
    json::object(status, "disruptedPods")[json::name(pod)] = json!(tx.now.truncated().rfc3339());
    let key = ObjectKey::new("poddisruptionbudgets.policy", Some(namespace), json::name(&budget));
    tx.put(key, new, Precondition::None)?;
    Ok(())
}

/// An unready pod may go when the policy says so, or when the budget is met without it.
fn may_evict_unready(budget: &Value) -> bool {
    let healthy = json::integer(budget, "/status/currentHealthy").unwrap_or(0);
    let desired = json::integer(budget, "/status/desiredHealthy").unwrap_or(0);
    json::text(budget, "/spec/unhealthyPodEvictionPolicy") == Some("AlwaysAllow") || (healthy >= desired && desired > 0)
}

fn check(budget: &Value) -> Result<(), ApiError> {
    let name = json::name(budget);
    let observed = json::integer(budget, "/status/observedGeneration").unwrap_or(0);
    let too_many = |cause: String| {
        let details = json!({"retryAfterSeconds": RETRY_AFTER_SECONDS, "causes": [{"reason": "DisruptionBudget", "message": cause}]});
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Err(ApiError::too_many_requests(message, RETRY_AFTER_SECONDS).with_details(details))
    };
    if observed < json::integer(budget, "/metadata/generation").unwrap_or(0) {
        return too_many(format!("The disruption budget {name} is still being processed by the server."));
    }
    if budget.pointer("/status/disruptedPods").and_then(Value::as_object).is_some_and(|d| d.len() > MAX_DISRUPTED_PODS)
    {
        return too_many("DisruptedPods map too big - too many evictions not confirmed by PDB controller".to_owned());
    }
    if json::integer(budget, "/status/disruptionsAllowed").unwrap_or(0) <= 0 {
        let desired = json::integer(budget, "/status/desiredHealthy").unwrap_or(0);
        let healthy = json::integer(budget, "/status/currentHealthy").unwrap_or(0);
        return too_many(format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        ));
    }
    Ok(())
}
